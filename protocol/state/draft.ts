// Collects what one command changes, on top of the rows it reads. Lives for one `apply` and no longer.
import type { JobId, PeerId } from '../ids.ts';
import type { EventName, StateEvent } from './event.ts';
import type { RowKey, View } from './rows.ts';

export interface Change {
  readonly key: string;
  /** Undefined deletes. */
  readonly row: unknown;
}

interface Subject {
  readonly project?: string;
  readonly jobId?: JobId;
  readonly task?: number;
  readonly peerId?: PeerId;
  readonly fields?: Readonly<Record<string, unknown>>;
}

export class Draft implements View {
  readonly #view: View;
  readonly #at: number;
  readonly #changes = new Map<string, unknown>();
  readonly events: StateEvent[] = [];

  constructor(view: View, at: number) {
    this.#view = view;
    this.#at = at;
  }

  get<Row>(key: RowKey<Row>): Row | undefined {
    return this.#changes.has(key) ? (this.#changes.get(key) as Row | undefined) : this.#view.get(key);
  }

  put<Row>(key: RowKey<Row>, row: Row): void {
    this.#changes.set(key, row);
  }

  delete(key: string): void {
    this.#changes.set(key, undefined);
  }

  emit(name: EventName, sentence: string, subject: Subject): void {
    this.events.push({
      name,
      project: subject.project ?? null,
      jobId: subject.jobId ?? null,
      task: subject.task ?? null,
      peerId: subject.peerId ?? null,
      at: this.#at,
      sentence,
      fields: subject.fields ?? {},
    });
  }

  get changes(): readonly Change[] {
    return Array.from(this.#changes, ([key, row]) => ({ key, row }));
  }
}
