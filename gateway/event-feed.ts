// Feeds a stream of server-sent events: first what the client missed, then what comes.
// All of it in one turn, so nothing falls between the two.
import { rfc3339 } from '../protocol/api/instant.ts';
import type { EventView } from '../protocol/api/job.ts';
import { SkeinError } from '../protocol/errors.ts';
import type { JobId } from '../protocol/ids.ts';
import type { LoggedEvent } from '../protocol/state/event.ts';
import { keys } from '../protocol/state/rows.ts';
import type { Context } from './context.ts';
import type { SseStream } from './sse.ts';

export interface EventPlace {
  readonly epochId: string;
  readonly index: number;
  readonly sub: number;
}

export interface Audience {
  readonly project: string;
  /** Null for everything of the project and of the mesh. */
  readonly jobId: JobId | null;
}

/** Above any event of one entry: where a client stands that has seen all of an index. */
const SUB_MAX = 999_999;

/** `EPOCHID.INDEX.SUB`. */
export function parseEventId(id: unknown): EventPlace {
  const match = typeof id === 'string' ? /^([0-9a-f]{32})\.(\d{1,15})\.(\d{1,6})$/.exec(id) : null;
  if (match === null) throw new SkeinError('invalid-request', 'Last-Event-ID must be EPOCHID.INDEX.SUB');
  return { epochId: match[1] as string, index: Number(match[2]), sub: Number(match[3]) };
}

/** Feeds until the client is gone or, of a job, it has ended. */
export function feedEvents(context: Context, sse: SseStream, audience: Audience, last: EventPlace | undefined): void {
  const feed = new EventFeed(context, sse, audience);
  const end = context.hub.listen(audience.jobId, (event) => feed.live(event));
  sse.signal.addEventListener('abort', end, { once: true });
  feed.begin(last);
}

class EventFeed {
  readonly #context: Context;
  readonly #sse: SseStream;
  readonly #audience: Audience;

  constructor(context: Context, sse: SseStream, audience: Audience) {
    this.#context = context;
    this.#sse = sse;
    this.#audience = audience;
  }

  begin(last: EventPlace | undefined): void {
    if (last !== undefined) this.#catchUp(last);
    else if (this.#audience.jobId !== null) this.#tellState(this.#audience.jobId);
    if (this.#audience.jobId !== null && this.#jobEnded(this.#audience.jobId)) this.#tellDone(this.#audience.jobId);
  }

  live(event: LoggedEvent): void {
    if (!this.#concerns(event)) return;
    this.#send(event);
    if (event.name === 'job.done' && this.#audience.jobId !== null) this.#sse.end();
  }

  #catchUp(last: EventPlace): void {
    const { epochId, appliedIndex } = this.#context.mesh.status();
    const known = last.epochId === epochId && last.index <= appliedIndex;
    const missed = known ? this.#context.mesh.eventsSince(last.index, last.sub) : undefined;
    if (missed === undefined) {
      this.#tellGap();
      if (this.#audience.jobId !== null) this.#tellState(this.#audience.jobId);
      return;
    }
    for (const event of missed) {
      // A job's stream is over with `job.done`; whether that is so now, `begin` judges: it may have been retried since.
      const over = event.name === 'job.done' && this.#audience.jobId !== null;
      if (this.#concerns(event) && !over) this.#send(event);
    }
  }

  #concerns(event: LoggedEvent): boolean {
    const { project, jobId } = this.#audience;
    return jobId === null ? event.project === null || event.project === project : event.jobId === jobId;
  }

  #send(event: LoggedEvent): void {
    const { epochId } = this.#context.mesh.status();
    this.#sse.send({ event: event.name, id: `${epochId}.${event.index}.${event.sub}`, data: eventView(event) });
  }

  #jobEnded(jobId: JobId): boolean {
    return this.#context.mesh.view.get(keys.progress(jobId))?.finishedAt !== null;
  }

  #tellGap(): void {
    const { epochId, appliedIndex } = this.#context.mesh.status();
    const data: EventView = {
      type: 'gap',
      index: appliedIndex,
      sub: SUB_MAX,
      at: rfc3339(this.#context.mesh.now()),
      jobId: this.#audience.jobId,
      task: null,
      peerId: null,
      sentence: 'events were missed: fetch anew what you show, the stream goes on from here',
      fields: {},
    };
    this.#sse.send({ event: 'gap', id: `${epochId}.${appliedIndex}.${SUB_MAX}`, data });
  }

  /** Where a job stands: what a client without a past needs to begin with. */
  #tellState(jobId: JobId): void {
    this.#sse.send({ event: 'job.state', data: this.#standing(jobId, 'job.state') });
  }

  #tellDone(jobId: JobId): void {
    this.#sse.send({ event: 'job.done', data: this.#standing(jobId, 'job.done') });
    this.#sse.end();
  }

  #standing(jobId: JobId, type: string): EventView {
    const progress = this.#context.mesh.view.get(keys.progress(jobId));
    const state = progress?.state ?? null;
    return {
      type,
      index: this.#context.mesh.status().appliedIndex,
      sub: SUB_MAX,
      at: rfc3339(progress?.finishedAt ?? this.#context.mesh.now()),
      jobId,
      task: null,
      peerId: null,
      sentence: type === 'job.done' ? `${jobId} ended: ${state}` : `${jobId} is ${state}`,
      fields: { state, tasks: progress?.counts ?? null },
    };
  }
}

function eventView(event: LoggedEvent): EventView {
  return {
    type: event.name,
    index: event.index,
    sub: event.sub,
    at: rfc3339(event.at),
    jobId: event.jobId,
    task: event.task,
    peerId: event.peerId,
    sentence: event.sentence,
    fields: event.fields,
  };
}
