// One subscription to the mesh's events, handed on to whoever in the gateway waits for a job or streams to a client.
import type { JobId } from '../protocol/ids.ts';
import type { LoggedEvent } from '../protocol/state/event.ts';
import type { MeshPort } from './port.ts';

type Listener = (event: LoggedEvent) => void;

/** Wakes its owner when something of the job changed. A change between two waits is not missed. */
export interface Watch extends Disposable {
  /** Resolves at the next change, at once if one came since the last call; or when the signal fires. */
  next(signal: AbortSignal): Promise<void>;
}

export class Hub {
  readonly #ofJob = new Map<JobId, Set<Listener>>();
  readonly #ofAll = new Set<Listener>();
  readonly #unsubscribe: () => void;

  constructor(mesh: MeshPort) {
    this.#unsubscribe = mesh.onEvents((events) => {
      for (const event of events) this.#tell(event);
    });
  }

  #tell(event: LoggedEvent): void {
    for (const listener of this.#ofAll) listener(event);
    if (event.jobId === null) return;
    for (const listener of this.#ofJob.get(event.jobId) ?? []) listener(event);
  }

  /** @param jobId null for the events of everything. Returns what ends it. */
  listen(jobId: JobId | null, listener: Listener): () => void {
    if (jobId === null) {
      this.#ofAll.add(listener);
      return () => this.#ofAll.delete(listener);
    }
    const listeners = this.#ofJob.get(jobId) ?? new Set();
    this.#ofJob.set(jobId, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#ofJob.get(jobId) === listeners) this.#ofJob.delete(jobId);
    };
  }

  watch(jobId: JobId): Watch {
    let changed = false;
    let wake: (() => void) | undefined;
    const end = this.listen(jobId, () => {
      changed = true;
      wake?.();
    });
    return {
      async next(signal) {
        if (!changed) await untilWoken(signal, (resolve) => (wake = resolve));
        changed = false;
      },
      [Symbol.dispose]: end,
    };
  }

  close(): void {
    this.#unsubscribe();
    this.#ofAll.clear();
    this.#ofJob.clear();
  }
}

function untilWoken(signal: AbortSignal, arm: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const wake = () => {
      signal.removeEventListener('abort', wake);
      resolve();
    };
    signal.addEventListener('abort', wake, { once: true });
    arm(wake);
  });
}
