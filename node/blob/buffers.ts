// Buffers that are used again. Fresh ones, a megabyte for each file, would have the collector of garbage run all the time.

const BUFFER_BYTES = 512 * 1024;
const SPARE_MAX = 8;

const spare: Buffer[] = [];

/** 512 KiB, whatever is in them; to be given back once nothing reads or fills them any more. */
export const takeBuffer = (): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);

export function giveBack(buffer: Buffer): void {
  if (spare.length < SPARE_MAX) spare.push(buffer);
}
