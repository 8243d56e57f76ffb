// Sending a signal where nobody may be left to get it.

/** Sends a signal and says whether anyone was there to get it. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    // Gone meanwhile, or not ours to signal: both mean that there is nothing here to act on.
    return false;
  }
}
