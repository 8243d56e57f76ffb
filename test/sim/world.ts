// The simulated world: one clock, one queue of events, the machines on which they happen. An event runs to its end, with all
// promises that go on because of it, before the next one begins; nothing else moves time.
import { EventQueue, type Timed } from './event-queue.ts';
import type { Life } from './machine.ts';

interface Event extends Timed {
  /** Where it happens; undefined for what is no machine's. It comes to nothing once that life has ended. */
  readonly life: Life | undefined;
  readonly run: () => void;
}

/** What must never be. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

const NOTES_KEPT = 4_000;
/** Events between two looks at the real world, so that a signal ends a run. */
const BREATH = 20_000;

export class World {
  nowMs = 0;
  events = 0;
  violation: Violation | undefined;
  readonly happened = new Map<string, number>();
  /** Called after each event, with the life it was of. */
  onEvent: (life: Life | undefined) => void = () => undefined;
  readonly #queue = new EventQueue<Event>();
  #order = 0;
  #current: Life | undefined;
  readonly #events = new Notes();
  readonly #messages = new Notes();

  /** @param life of which machine; an event of a machine that stands still waits until it goes on. */
  at(atMs: number, life: Life | undefined, run: () => void): void {
    this.#queue.push({ atMs: Math.max(atMs, this.nowMs), order: this.#order++, life, run });
  }

  after(ms: number, life: Life | undefined, run: () => void): void {
    this.at(this.nowMs + ms, life, run);
  }

  /** Of whatever runs now. */
  soon(run: () => void): void {
    this.at(this.nowMs, this.#current, run);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, undefined, resolve));
  }

  async run(untilMs: number): Promise<void> {
    for (;;) {
      const next = this.#queue.first;
      if (this.violation !== undefined || next === undefined || next.atMs > untilMs) break;
      this.#queue.pop();
      this.nowMs = next.atMs;
      const { life } = next;
      if (life !== undefined && !life.takes(next)) continue;
      this.#current = life;
      this.events++;
      try {
        next.run();
      } catch (error) {
        this.violate('a bug', error);
      }
      await settle();
      this.onEvent(life);
      if (this.events % BREATH === 0) await breath();
    }
    if (this.violation !== undefined) throw this.violation;
    this.nowMs = untilMs;
  }

  count(what: string, by = 1): void {
    this.happened.set(what, (this.happened.get(what) ?? 0) + by);
  }

  violate(what: string, cause?: unknown): void {
    this.note('violation', what);
    this.violation ??= new Violation(cause instanceof Error ? `${what}: ${cause.message}` : what, { cause });
  }

  check(holds: boolean, what: string | (() => string)): void {
    if (!holds) this.violate(typeof what === 'string' ? what : what());
  }

  note(who: string, what: string | (() => string)): void {
    this.#events.add({ atMs: this.nowMs, who, what });
  }

  /** Messages are many: they do not push out the rest. */
  noteMessage(who: string, what: () => string): void {
    this.#messages.add({ atMs: this.nowMs, who, what });
  }

  /** The last messages, and of all else the last as many, oldest first. */
  trace(lines: number): string[] {
    const notes = [...this.#events.last(lines), ...this.#messages.last(lines)].sort((a, b) => a.atMs - b.atMs);
    return notes.map(({ atMs, who, what }) => {
      const text = typeof what === 'string' ? what : what();
      return `${(atMs / 1000).toFixed(4).padStart(12)}  ${who.padEnd(10)} ${text}`;
    });
  }
}

interface Note {
  readonly atMs: number;
  readonly who: string;
  readonly what: string | (() => string);
}

class Notes {
  readonly #ring: Note[] = [];
  #count = 0;

  add(note: Note): void {
    this.#ring[this.#count++ % NOTES_KEPT] = note;
  }

  last(lines: number): Note[] {
    const from = Math.max(0, this.#count - Math.min(lines, NOTES_KEPT));
    return Array.from({ length: this.#count - from }, (_, n) => this.#ring[(from + n) % NOTES_KEPT] as Note);
  }
}

/** Every promise that can go on does so: ticks of Node come after all of them. */
const settle = (): Promise<void> => new Promise((resolve) => queueMicrotask(() => process.nextTick(resolve)));

const realImmediate = setImmediate;
const breath = (): Promise<void> => new Promise((resolve) => realImmediate(resolve));

/** Production asks for a turn of the loop here and there: it gets one of the world's. */
export function ownImmediates(world: World): void {
  Object.assign(globalThis, { setImmediate: (run: () => void) => world.soon(run) });
}
