// The script's bytes and skein's words on the two descriptors: bytes unchanged and at once, words on lines of their own
// after `skein: `, never inside a half line of the script, and on a terminal a live area of at most 8 lines below all.
import { ReaderGone, type Sink } from './sink.ts';

export interface ScreenOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Both lead to one terminal, file or pipe, and so share the line. */
  readonly oneTarget: boolean;
  readonly quiet: boolean;
  /** With --json the script's stdout goes to stderr, for stdout is the document's. */
  readonly json: boolean;
  /** Milliseconds, never going back. */
  readonly monotonic: () => number;
  /** False for TERM=dumb and CI, or where --progress says so: no live area, no cursor codes. */
  readonly live: boolean;
}

const AREA_MAX_LINES = 8;
const REDRAW_MS = 100;
const HELD_MAX = 64;
const NEWLINE = 10;

export class Screen {
  readonly #options: ScreenOptions;
  /** Whether the last byte of the script on a descriptor left its line open. */
  readonly #open = { out: false, err: false };
  /** Words that wait for the script to end its line. */
  #held: string[] = [];
  #area: readonly string[] = [];
  #drawn = 0;
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(options: ScreenOptions) {
    this.#options = options;
  }

  get isLive(): boolean {
    return this.#options.live && this.#options.stderr.isTerminal;
  }

  get columns(): number {
    return this.#options.stderr.columns ?? 80;
  }

  /** Bytes of the script. Fails with ReaderGone where stdout is closed. */
  async script(stream: 'out' | 'err', bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    await this.#erase();
    const to = stream === 'out' && !this.#options.json ? this.#options.stdout : this.#options.stderr;
    this.#open[to === this.#options.stdout ? 'out' : 'err'] = bytes[bytes.length - 1] !== NEWLINE;
    try {
      await to.write(bytes);
    } catch (error) {
      // Nobody reads stderr any more: the script's exit code still matters, its words do not.
      if (!(error instanceof ReaderGone) || to === this.#options.stdout) throw error;
    }
    if (this.#inHalfLine()) return;
    await this.#release();
    await this.#draw();
  }

  /** One or more lines of skein's own; held back while the script is within a line. Nothing with -q. */
  async say(text: string): Promise<void> {
    if (this.#options.quiet) return;
    this.#held.push(text);
    if (this.#held.length > HELD_MAX) this.#held.shift();
    if (this.#inHalfLine()) return;
    await this.#erase();
    await this.#release();
    await this.#draw();
  }

  /** The last words, or such as cannot wait: a half line of the script is ended first. */
  async sayNow(text: string): Promise<void> {
    if (this.#options.quiet) return;
    await this.#tell(text);
  }

  /** As sayNow, also with -q: what went wrong. */
  async fail(text: string): Promise<void> {
    await this.#tell(text);
  }

  /** Lines on stderr as they are, without `skein: `: the rows of a live area's plain twin, items of a followed batch. */
  async line(text: string): Promise<void> {
    await this.#erase();
    await this.#write(`${text}\n`);
    await this.#draw();
  }

  /** The document, or a verb's answer, on stdout. */
  async answer(text: string): Promise<void> {
    await this.#erase();
    await this.#options.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** What the live area shows from now on; at most 8 lines, redrawn at most ten times a second. */
  async area(lines: readonly string[]): Promise<void> {
    this.#area = lines.slice(0, AREA_MAX_LINES);
    if (!this.isLive || this.#inHalfLine()) return;
    if (lines.length === 0) return this.#erase();
    if (this.#options.monotonic() - this.#drawnAt < REDRAW_MS) return;
    await this.#erase();
    await this.#draw();
  }

  /** Takes the live area away and says what is still held back. */
  async close(): Promise<void> {
    this.#area = [];
    await this.#erase();
    if (this.#held.length > 0) await this.#endLine();
    await this.#release();
  }

  async #tell(text: string): Promise<void> {
    await this.#erase();
    await this.#endLine();
    this.#held.push(text);
    await this.#release();
    await this.#draw();
  }

  #inHalfLine(): boolean {
    return this.#open.err || (this.#open.out && this.#options.oneTarget);
  }

  async #endLine(): Promise<void> {
    if (!this.#inHalfLine()) return;
    this.#open.err = false;
    if (this.#options.oneTarget) this.#open.out = false;
    await this.#write('\n');
  }

  async #release(): Promise<void> {
    const held = this.#held;
    this.#held = [];
    for (const text of held) {
      const [first, ...rest] = text.split('\n');
      await this.#write(`${[`skein: ${first}`, ...rest].join('\n')}\n`);
    }
  }

  async #erase(): Promise<void> {
    if (this.#drawn === 0) return;
    const up = `\x1b[${this.#drawn}A\r\x1b[J`;
    this.#drawn = 0;
    await this.#write(up);
  }

  async #draw(): Promise<void> {
    if (!this.isLive || this.#area.length === 0 || this.#inHalfLine()) return;
    this.#drawn = this.#area.length;
    this.#drawnAt = this.#options.monotonic();
    await this.#write(`${this.#area.join('\n')}\n`);
  }

  async #write(text: string): Promise<void> {
    try {
      await this.#options.stderr.write(text);
    } catch (error) {
      // Nobody reads our words any more; the work goes on.
      if (!(error instanceof ReaderGone)) throw error;
    }
  }
}
