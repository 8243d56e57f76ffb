// One stream of a script on its descriptor, across attempts (UX.md, Streams): a terminal shows that it starts over,
// a regular file is cut back, a pipe gets what continues the bytes that it has already.
import { Continuation } from './continuation.ts';
import type { Screen } from './screen.ts';
import type { Sink } from './sink.ts';

const TAIL_BYTES = 65_536;

export class ScriptStream {
  readonly #stream: 'out' | 'err';
  readonly #sink: Sink;
  readonly #screen: Screen;
  readonly #announce: (attempt: number) => Promise<void>;
  readonly #continuation = new Continuation();
  #differs = false;
  #tail: Uint8Array = new Uint8Array(0);

  /**
   * @param sink where the bytes end up: stderr for both where stdout holds a document.
   * @param announce says once for both streams that the output of an attempt starts over.
   */
  constructor(stream: 'out' | 'err', sink: Sink, screen: Screen, announce: (attempt: number) => Promise<void>) {
    this.#stream = stream;
    this.#sink = sink;
    this.#screen = screen;
    this.#announce = announce;
  }

  /** The last 64 KiB: what the script said when it failed. */
  get tail(): Uint8Array {
    return this.#tail;
  }

  async startOver(attempt: number): Promise<void> {
    this.#tail = new Uint8Array(0);
    if (this.#continuation.passedBytes === 0) return;
    if (this.#showsAll()) return this.#announce(attempt);
    if (this.#sink.isFile && this.#sink.cutBack()) this.#continuation.forget();
    else this.#continuation.startOver();
  }

  /** Fails with ReaderGone where stdout is closed. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#tail = Buffer.concat([this.#tail, bytes]).subarray(-TAIL_BYTES);
    if (this.#showsAll()) {
      this.#continuation.take(bytes);
      return this.#screen.script(this.#stream, bytes);
    }
    if (this.#differs) return;
    const passed = this.#continuation.take(bytes);
    if (passed.kind === 'differs') this.#differs = true;
    else await this.#screen.script(this.#stream, passed.bytes);
  }

  /** Whether what was passed on is the last attempt's, to its end. */
  isWhole(): boolean {
    return this.#showsAll() || (!this.#differs && this.#continuation.isWhole());
  }

  /** People read a terminal and stderr: they would rather see a thing twice than miss why it failed. */
  #showsAll(): boolean {
    return this.#sink.isTerminal || this.#stream === 'err';
  }
}
