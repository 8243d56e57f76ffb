// A verb's answer: the document with --json, else text; once, or with --watch again and again.
import { type Call, isSet } from './call.ts';

export interface Answer {
  readonly document: unknown;
  readonly text: () => string;
}

const WATCH_MS = 2000;

export async function show(call: Call, answer: Answer): Promise<void> {
  await call.screen.answer(call.flags.json === true ? JSON.stringify(answer.document) : answer.text());
}

/** Until interrupted: a terminal is drawn anew, a pipe gets what changed, --json one object a line. */
export async function showOrWatch(call: Call, look: (signal: AbortSignal) => Promise<Answer>): Promise<void> {
  if (!isSet(call, 'watch')) return show(call, await look(AbortSignal.timeout(120_000)));
  const quit = new AbortController();
  const off = call.world.onSignal(['SIGINT', 'SIGTERM', 'SIGHUP'], () => quit.abort());
  const { stdout, clock } = call.world;
  let shown = '';
  try {
    while (!quit.signal.aborted) {
      const answer = await look(quit.signal);
      const text = call.flags.json === true ? JSON.stringify(answer.document) : answer.text();
      const again = stdout.isTerminal && call.flags.json !== true;
      if (again) await call.screen.answer(`\x1b[H\x1b[2J${text}`);
      else if (text !== shown) await call.screen.answer(text);
      shown = text;
      await clock.sleep(WATCH_MS, quit.signal);
    }
  } catch (error) {
    if (!quit.signal.aborted) throw error;
  } finally {
    off();
  }
}
