// The node's own words: lines of JSON in DIR/node.log by pino, and what its operator should see as plain lines on stderr.
import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import type { Log } from './log.ts';

const FILE_MAX_BYTES = 20 * 1024 * 1024;

/** @param quiet keeps stderr for errors alone: the mesh `local` has no operator. */
export function openLog(dataFolder: string, options: { readonly quiet: boolean }): Log & { flush(): void } {
  const file = pino(
    { level: process.env.SKEIN_LOG ?? 'info' },
    new LogFile(join(dataFolder, 'node.log'), FILE_MAX_BYTES),
  );
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
export class LogFile {
  readonly #path: string;
  readonly #maxBytes: number;
  #file: number;
  #bytes: number;
  #lost = 0;

  /** @param maxBytes of a file; one more is kept, so that a node left alone for a year does not fill its disk. */
  constructor(path: string, maxBytes: number) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#file = openSync(path, 'a', 0o644);
    this.#bytes = fstatSync(this.#file).size;
  }

  write(line: string): void {
    // Behind a gap a line of its own: the last one may have been cut.
    const gap =
      this.#lost === 0
        ? ''
        : `\n${JSON.stringify({ level: 40, msg: 'lines could not be written', count: this.#lost })}\n`;
    try {
      if (this.#bytes >= this.#maxBytes) this.#rotate();
      const bytes = Buffer.from(gap + line);
      const written = writeSync(this.#file, bytes);
      this.#bytes += written;
      if (written < bytes.length) this.#lost++;
      else this.#lost = 0;
    } catch {
      // There is nowhere to tell it but here, later.
      this.#lost++;
    }
  }

  #rotate(): void {
    // Somebody may have taken it away, logrotate for one.
    if (existsSync(this.#path)) renameSync(this.#path, `${this.#path}.1`);
    const full = this.#file;
    this.#file = openSync(this.#path, 'a', 0o644);
    this.#bytes = 0;
    closeSync(full);
  }
}
