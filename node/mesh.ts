// What the HTTP door sees of this node: its port, implemented over the log, the leader's view and the blobs.
import type { Readable } from 'node:stream';
import type { BlobPort, LogChunk, MeshPort, MeshStatus, Waiting } from '../gateway/port.ts';
import type { PeerView } from '../protocol/api/mesh.ts';
import { SkeinError } from '../protocol/errors.ts';
import { type JobId, makeJobId, type Sha256 } from '../protocol/ids.ts';
import type { Random } from '../protocol/random.ts';
import type { Command } from '../protocol/state/command.ts';
import type { LoggedEvent } from '../protocol/state/event.ts';
import type { OutputFile } from '../protocol/state/result.ts';
import { type AttemptRow, keys, type RowKey, type TaskRow, type View } from '../protocol/state/rows.ts';
import type { Clock } from '../protocol/time.ts';
import { outputManifest } from '../protocol/wire/manifest.ts';
import { logChunkMaxBytes, logPartCodec, logReadCodec, workMethods } from '../protocol/wire/work.ts';
import type { Copies } from './blob/copies.ts';
import type { MeshBlobs } from './blob/mesh-blobs.ts';
import type { BlobStore } from './blob/port.ts';
import type { ReplicatedLog } from './consensus/log.ts';
import { inTime } from './in-time.ts';
import type { Leader } from './leader/leader.ts';
import { ManifestCache } from './manifest-cache.ts';
import { unmetSentence, verdictOf } from './policy/waiting.ts';
import type { Transport } from './transport/port.ts';

const PROPOSE_TIMEOUT_MS = 10_000;
/** A submission is answered within what a client waits, copied or not. */
const GATHER_MS = 8_000;
const COPY_MS = 8_000;
const BARRIER_TIMEOUT_MS = 5_000;
const LOG_CALL_SLACK_MS = 5_000;
const LOG_POLL_MS = 100;
/** About 20 MB. */
const MANIFEST_FILES_KEPT = 50_000;

export interface MeshParts {
  readonly log: ReplicatedLog;
  readonly leader: Leader;
  readonly transport: Transport;
  /** This node's own. */
  readonly store: BlobStore;
  readonly blobs: MeshBlobs;
  readonly copies: Copies;
  readonly clock: Clock;
  readonly random: Random;
  readonly version: string;
  readonly peers: () => readonly PeerView[];
  readonly ticketAddresses: MeshPort['ticketAddresses'];
}

export class Mesh implements MeshPort {
  readonly blobs: BlobPort;
  readonly #parts: MeshParts;
  readonly #manifests = new ManifestCache({ filesMax: MANIFEST_FILES_KEPT });

  constructor(parts: MeshParts) {
    this.#parts = parts;
    this.blobs = blobPort(parts);
  }

  status(): MeshStatus {
    const { log, transport, version } = this.#parts;
    const { epochId, term, commitIndex, appliedIndex, voters, healthy, leader, leading, disk } = log.status();
    const mesh = log.view.get(keys.mesh);
    if (mesh === undefined) throw new SkeinError('no-leader', 'the mesh is not founded yet');
    return {
      meshId: mesh.meshId,
      meshName: mesh.name,
      epochId,
      self: transport.self,
      version,
      term,
      leader,
      commitIndex,
      appliedIndex,
      voters: { total: voters, healthy, needed: Math.floor(voters / 2) + 1 },
      disk,
      // A leader takes submissions once it has applied its own term's first entry.
      ready: disk === 'ok' && (leading || (leader !== null && leader !== transport.self)),
    };
  }

  propose(command: Command, signal?: AbortSignal): ReturnType<MeshPort['propose']> {
    return this.#parts.log.propose(command, { timeoutMs: PROPOSE_TIMEOUT_MS, ...(signal && { signal }) });
  }

  async readBarrier(signal?: AbortSignal): Promise<void> {
    await this.#parts.log.readBarrier({ timeoutMs: BARRIER_TIMEOUT_MS, ...(signal && { signal }) });
  }

  get view(): View {
    return this.#parts.log.view;
  }

  scan<Row>(prefix: string, options?: Parameters<MeshPort['scan']>[1]): AsyncIterable<readonly [RowKey<Row>, Row]> {
    return this.#parts.log.scan<Row>(prefix, options);
  }

  eventsSince(index: number, sub: number): readonly LoggedEvent[] | undefined {
    return this.#parts.log.eventsSince(index, sub);
  }

  onEvents(listener: (events: readonly LoggedEvent[]) => void): () => void {
    return this.#parts.log.onApplied((batch) => {
      const events = batch.entries.flatMap((entry) => entry.events);
      if (events.length > 0) listener(events);
    });
  }

  waiting(jobId: JobId): Waiting | null {
    const { leader, log } = this.#parts;
    const live = leader.jobs.get(jobId);
    if (live === undefined) return null;
    const { counts } = live.progress;
    if (counts.queued === 0 && counts.running > 0 && this.#anyBegun(jobId)) return null;
    const { verdict, sentence } = verdictOf({
      needs: live.job.spec.needs,
      counts,
      led: log.status().leader !== null,
      ahead: this.#ahead(jobId),
      maxParallel: live.job.spec.maxParallel,
      offers: leader.roster.offers(),
    });
    return { verdict, sentence, since: live.waitingSince };
  }

  #anyBegun(jobId: JobId): boolean {
    const { leader, log } = this.#parts;
    const { epochId } = log.status();
    return leader.roster
      .living()
      .some((member) =>
        (log.view.get(keys.holds(member.peerId))?.grants ?? []).some(
          (hold) => hold.jobId === jobId && leader.roster.hasBegun(member.peerId, `${epochId}.${hold.index}` as never),
        ),
      );
  }

  #ahead(jobId: JobId): number {
    let ahead = 0;
    for (const { job, progress } of this.#parts.leader.jobs.queued()) {
      if (job.jobId === jobId) break;
      ahead += progress.counts.queued;
    }
    return ahead;
  }

  begun(task: TaskRow): boolean {
    const fence = task.attempts.at(-1)?.fence;
    return task.open !== null && fence !== undefined && this.#parts.leader.roster.hasBegun(task.open.peerId, fence);
  }

  peers(): readonly PeerView[] {
    return this.#parts.peers();
  }

  quiet(): ReadonlyMap<string, number> {
    return this.#parts.leader.quiet();
  }

  unmet(needs: Parameters<MeshPort['unmet']>[0]): string | undefined {
    return unmetSentence(needs, this.#parts.leader.roster.offers());
  }

  async readLog(request: Parameters<MeshPort['readLog']>[0], signal: AbortSignal): Promise<LogChunk> {
    const until = this.#parts.clock.monotonic() + request.waitMs;
    for (;;) {
      const attempt = this.view
        .get(keys.task(request.jobId, request.task))
        ?.attempts.find(({ n }) => n === request.attempt);
      if (attempt === undefined)
        throw new SkeinError('not-found', `task ${request.task} has no attempt ${request.attempt}`);
      const chunk =
        attempt.state === 'open'
          ? await this.#liveLog(attempt, request, signal)
          : await this.#keptLog(attempt, request);
      if (chunk !== undefined) return chunk;
      if (this.#parts.clock.monotonic() >= until)
        return { offset: request.offset, bytes: new Uint8Array(), end: false };
      await this.#change(request.jobId, signal);
    }
  }

  /** Resolves when something of the job was applied, else soon: a worker's file grows without the log hearing of it. */
  async #change(jobId: JobId, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const release = this.#parts.log.onApplied(({ entries }) => {
      if (entries.some(({ events }) => events.some((event) => event.jobId === jobId))) woken.abort();
    });
    await this.#parts.clock.sleep(LOG_POLL_MS, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
    release();
    signal.throwIfAborted();
  }

  /** From the worker's own file while the attempt runs; undefined where there is nothing to say yet. */
  async #liveLog(
    attempt: AttemptRow,
    request: Parameters<MeshPort['readLog']>[0],
    signal: AbortSignal,
  ): Promise<LogChunk | undefined> {
    const { stream, offset, waitMs } = request;
    const body = logReadCodec.encode({
      fence: attempt.fence,
      stream,
      offset,
      maxBytes: logChunkMaxBytes,
      waitMs: Math.min(waitMs, 2_000),
    });
    try {
      const options = { timeoutMs: waitMs + LOG_CALL_SLACK_MS, signal };
      const part = logPartCodec.decode(
        await this.#parts.transport.call(attempt.peerId, 'work', workMethods.logRead, body, options),
      );
      // The attempt is over only once the log says so: a result that is refused is nobody's output.
      return part.bytes.length > 0 ? { offset, bytes: part.bytes, end: false } : undefined;
    } catch (error) {
      signal.throwIfAborted();
      // Not begun yet, moved into its blob a moment ago, or the worker is away: the row will say how it goes on.
      if (error instanceof SkeinError) return undefined;
      throw error;
    }
  }

  async #keptLog(attempt: AttemptRow, { stream, offset }: Parameters<MeshPort['readLog']>[0]): Promise<LogChunk> {
    const span = stream === 'out' ? attempt.stdout : attempt.stderr;
    const left = (span?.sizeBytes ?? 0) - offset;
    if (span === null || left <= 0) return { offset, bytes: new Uint8Array(), end: true };
    const maxBytes = Math.min(left, logChunkMaxBytes);
    const bytes = await this.#parts.blobs.chunk(span.blob, span.offset + offset, maxBytes);
    return { offset, bytes, end: bytes.length === left };
  }

  async outputFiles(task: TaskRow): Promise<readonly OutputFile[]> {
    const outputs = task.attempts.at(-1)?.outputs ?? null;
    if (outputs === null) return [];
    if (outputs.kind === 'inline') return outputs.files;
    return this.#manifests.get(outputs.blob, async () => {
      const manifest = outputManifest();
      for await (const chunk of await this.#parts.blobs.read(outputs.blob)) manifest.push(chunk as Uint8Array);
      manifest.end();
      return manifest.take();
    });
  }

  newJobId(): JobId {
    return makeJobId(this.#parts.random.bytes(10));
  }

  ticketAddresses(): ReturnType<MeshPort['ticketAddresses']> {
    return this.#parts.ticketAddresses();
  }

  now(): number {
    return this.#parts.clock.now();
  }
}

function blobPort({ store, blobs, copies, clock }: MeshParts): BlobPort {
  return {
    stat: (sha256) => blobs.stat(sha256),
    async put(sha256, source, sizeBytes, signal) {
      if ((await store.stat(sha256)) !== undefined) {
        // Drained and not kept: the client sends its body whatever the answer.
        for await (const _ of source) signal.throwIfAborted();
        return { existed: true };
      }
      await store.put(source, { sha256, ...(sizeBytes !== undefined && { maxBytes: sizeBytes }) }, signal);
      return { existed: false };
    },
    uploadOffset: (sha256) => store.uploadOffset(sha256),
    uploadAppend: (sha256: Sha256, offset, totalBytes, source, signal) =>
      store.uploadAppend(sha256, offset, totalBytes, source, signal),
    read: (sha256, range): Promise<Readable> => blobs.read(sha256, range),
    readSpan: ({ blob, offset, sizeBytes }): Promise<Readable> => blobs.read(blob, { offset, sizeBytes }),
    lacking: (hashes, max) => blobs.lacking(hashes, max),
    async copy(hashes) {
      if (copies.isSole()) return;
      const named = [...hashes];
      // What does not come in time is on another gateway all the same.
      await blobs.gather(named, { withinMs: GATHER_MS });
      await inTime(clock, COPY_MS, () => copies.make(named));
    },
  };
}
