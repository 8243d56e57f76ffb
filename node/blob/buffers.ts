// Buffers that are used again. Fresh ones, a megabyte for each file, would have the collector of garbage run all the time.

const BUFFER_BYTES = 512 * 1024;
const SPARE_MAX = 8;

const spare: Buffer[] = [];

/** 512 KiB, whatever is in them; to be given back once nothing reads or fills them any more. */
export const takeBuffer = (): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);

export function giveBack(buffer: Buffer): void {
  if (spare.length < SPARE_MAX) spare.push(buffer);
}

/**
 * The bytes of `source` in blocks as large as `buffers`, which are filled in turn: a block is good until as many more have
 * come as there are other buffers. What came before the source failed comes before its failure.
 */
export async function* blocksOf(
  source: AsyncIterable<Uint8Array>,
  buffers: readonly Buffer[],
): AsyncGenerator<Uint8Array> {
  const turns = [...buffers];
  const next = (): Buffer => {
    const buffer = turns.shift() as Buffer;
    turns.push(buffer);
    return buffer;
  };
  let [buffer, filled] = [next(), 0];
  try {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; ) {
        const taken = chunk.subarray(at, at + buffer.length - filled);
        buffer.set(taken, filled);
        filled += taken.length;
        at += taken.length;
        if (filled < buffer.length) continue;
        yield buffer;
        [buffer, filled] = [next(), 0];
      }
    }
  } catch (error) {
    if (filled > 0) yield buffer.subarray(0, filled);
    throw error;
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}
