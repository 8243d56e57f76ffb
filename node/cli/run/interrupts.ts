// What Ctrl-C, TERM and HUP mean while `run` and its kin follow a job (UX.md, Ctrl-C). Decides and times; the caller acts.
import type { Clock } from '../../../protocol/time.ts';
import type { SignalName, World } from '../world.ts';

export type Interruption =
  /** Before the job was submitted: nothing is left behind. */
  | 'abandon'
  | 'detach'
  | 'cancel'
  /** The second on `local`: no more waiting. */
  | 'kill';

export interface InterruptRules {
  readonly isTerminal: boolean;
  readonly isLocal: boolean;
  readonly onExit: 'detach' | 'cancel' | undefined;
  /** Says how to come back and how to stop. */
  readonly onFirst: () => void;
  /** @param signal what brought it about. */
  readonly onAction: (what: Interruption, signal: SignalName) => void;
}

const AGAIN_MS = 1000;

export class Interrupts {
  readonly #clock: Clock;
  readonly #rules: InterruptRules;
  #phase: 'before' | 'following' | 'asked' | 'stopping' | 'over' = 'before';
  readonly #ends = new AbortController();

  constructor(clock: Clock, rules: InterruptRules) {
    this.#clock = clock;
    this.#rules = rules;
  }

  static listen(world: World, rules: InterruptRules): Interrupts {
    const interrupts = new Interrupts(world.clock, rules);
    const off = world.onSignal(['SIGINT', 'SIGTERM', 'SIGHUP'], (name) => interrupts.on(name));
    interrupts.#ends.signal.addEventListener('abort', off, { once: true });
    return interrupts;
  }

  /** From here on there is a job. */
  submitted(): void {
    if (this.#phase === 'before') this.#phase = 'following';
  }

  stop(): void {
    this.#phase = 'over';
    this.#ends.abort();
  }

  on(signal: SignalName): void {
    switch (this.#phase) {
      case 'before':
        this.#act('over', 'abandon', signal);
        return;
      case 'following':
        this.#first(signal);
        return;
      case 'asked':
        this.#act('stopping', 'cancel', signal);
        return;
      case 'stopping':
        this.#act('over', 'kill', signal);
        return;
      case 'over':
        return;
    }
  }

  #first(signal: SignalName): void {
    const { isTerminal, isLocal, onExit } = this.#rules;
    if (onExit !== undefined) {
      this.#decided(onExit, signal);
      return;
    }
    // A terminal that was closed wants its job to go on; only `local` ends with its user, as a script would.
    if (signal === 'SIGHUP') {
      this.#decided('detach', signal);
      return;
    }
    if (isLocal || !isTerminal) {
      this.#decided('cancel', signal);
      return;
    }
    this.#phase = 'asked';
    this.#rules.onFirst();
    this.#clock.sleep(AGAIN_MS, this.#ends.signal).then(
      () => {
        if (this.#phase === 'asked') this.#act('over', 'detach', signal);
      },
      () => undefined,
    );
  }

  #decided(what: 'detach' | 'cancel', signal: SignalName): void {
    this.#act(what === 'detach' ? 'over' : 'stopping', what, signal);
  }

  #act(phase: 'over' | 'stopping', what: Interruption, signal: SignalName): void {
    this.#phase = phase;
    this.#rules.onAction(what, signal);
  }
}
