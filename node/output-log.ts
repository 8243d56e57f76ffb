// The node's own words: lines of JSON in DIR/node.log by pino, and what its operator should see as plain lines on stderr.
import { openSync, renameSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import type { Log } from './log.ts';

const LOG_MAX_BYTES = 20 * 1024 * 1024;

/** @param quiet keeps stderr for errors alone: the mesh `local` has no operator. */
export function openLog(dataFolder: string, options: { readonly quiet: boolean }): Log & { flush(): void } {
  const path = join(dataFolder, 'node.log');
  rotate(path);
  const file = pino({ level: process.env.SKEIN_LOG ?? 'info' }, new LogFile(path));
  const say = (sentence: string): void => {
    if (!options.quiet) process.stderr.write(`skein: ${sentence}\n`);
  };
  return {
    debug: (fields, sentence) => file.debug(fields, sentence),
    info: (fields, sentence) => file.info(fields, sentence),
    warn(fields, sentence) {
      file.warn(fields, sentence);
      say(sentence);
    },
    error(fields, sentence) {
      file.error(fields, sentence);
      say(sentence);
    },
    flush: () => file.flush(),
  };
}

/** Lines that the disk would not take are lost and counted: a full disk must not end the node that speaks of it. */
class LogFile {
  readonly #file: number;
  #lost = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'a', 0o644);
  }

  write(line: string): void {
    // Behind a gap a line of its own: the last one may have been cut.
    const gap =
      this.#lost === 0
        ? ''
        : `\n${JSON.stringify({ level: 40, msg: 'lines could not be written', count: this.#lost })}\n`;
    try {
      const bytes = Buffer.from(gap + line);
      if (writeSync(this.#file, bytes) < bytes.length) this.#lost++;
      else this.#lost = 0;
    } catch {
      // There is nowhere to tell it but here, later.
      this.#lost++;
    }
  }
}

/** One file back, so that a node left alone for a year does not fill its disk. */
function rotate(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_MAX_BYTES) renameSync(path, `${path}.1`);
}
