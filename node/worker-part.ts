// The worker of a node, put together: runtime, workshop, ledger's shell, and the way to the gateways.
import { mkdir } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { PeerId } from '../protocol/ids.ts';
import { workMethods } from '../protocol/wire/work.ts';
import type { Copies } from './blob/copies.ts';
import { GatewayCarrier } from './blob/transfer.ts';
import type { Core } from './core.ts';
import { workerMemory } from './data-folder.ts';
import { faults } from './faults.ts';
import { attemptFolder } from './files/attempt-folder.ts';
import { ProcessRuntime } from './runtime/process.ts';
import { Attempts } from './worker/attempts.ts';
import { Gateways } from './worker/gateways.ts';
import { serveLog } from './worker/log-tail.ts';
import { Reporter } from './worker/reporter.ts';
import { Room } from './worker/room.ts';
import { Worker } from './worker/worker.ts';
import { FileWorkshop } from './worker/workshop.ts';

const CACHE_MAX_BYTES = 20 * 1024 ** 3;
const CACHE_LOOK_MS = 60_000;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export class WorkerPart {
  readonly worker: Worker;
  readonly #core: Core;
  readonly #gateways: Gateways;
  readonly #workshop: FileWorkshop;
  readonly #isCache: boolean;
  readonly #stopped = new AbortController();

  /** @param copies where this node is a gateway too */
  static async start(core: Core, copies?: Copies): Promise<WorkerPart> {
    const { options, clock, random, out } = core;
    const attemptsFolder = join(options.dataFolder, 'attempts');
    await mkdir(attemptsFolder, { recursive: true, mode: 0o700 });
    const runtime = await ProcessRuntime.open(
      { clock, random: random.fork('runtime'), log: out },
      { runFolder: join(options.dataFolder, 'run'), attemptsFolder },
    );
    const part = new WorkerPart(core, runtime, { attemptsFolder, copies });
    await part.worker.start();
    part.#boundCache();
    void runtime
      .startAhead(core.kept.slots)
      .catch((error: unknown) => out.warn({ err: error }, 'runners could not be started ahead'));
    return part;
  }

  private constructor(
    core: Core,
    runtime: ProcessRuntime,
    { attemptsFolder, copies }: { readonly attemptsFolder: string; readonly copies: Copies | undefined },
  ) {
    const { transport, storage, clock, out, gossip, members, blobs, fetcher, kept } = core;
    this.#core = core;
    this.#gateways = new Gateways(transport);
    this.#gateways.update(members.current().gateways as { peerId: PeerId; addresses: string[] }[]);
    gossip.onHeartbeat(({ peerId, addresses }) => this.#gateways.moved(peerId as PeerId, addresses));
    // A gateway's store is no cache: what it holds is swept by the log's references.
    this.#isCache = !kept.roles.includes('gateway');
    const room = new Room(core.options.dataFolder, clock, () => this.#evict(0));
    const carrier = new GatewayCarrier({
      transport,
      store: blobs,
      fetcher,
      clock,
      gateways: () => this.#gateways.peers,
      copies,
    });
    const workshop = new FileWorkshop(
      { store: blobs, carrier, room, clock, out },
      {
        attemptsFolder,
        spareFolder: join(core.options.dataFolder, 'spare'),
        slots: kept.slots,
        containment: runtime.containment,
        path: process.env.PATH ?? DEFAULT_PATH,
        lang: process.env.LANG ?? 'C.UTF-8',
      },
    );
    this.#workshop = workshop;
    const attempts = new Attempts({ runtime, workshop, clock, out });
    const reporter = new Reporter({ gateways: this.#gateways, clock, log: out });
    const signal = this.#stopped.signal;
    this.#gateways.handle(workMethods.logRead, (body) =>
      serveLog(
        {
          clock,
          runs: ({ fence }) => attempts.alive().includes(fence),
          fileOf: ({ fence, stream }) => {
            const places = attemptFolder(workshop.folderOf(fence));
            return stream === 'out' ? places.stdoutFile : places.stderrFile;
          },
        },
        body,
        signal,
      ),
    );
    this.worker = new Worker(
      {
        transport,
        gateways: this.#gateways,
        runtime,
        attempts,
        workshop,
        reporter,
        memory: workerMemory(storage),
        clock,
        out,
        faults,
        beat: (status) => gossip.beat(status),
        sealBeat: (status) => gossip.sealBeat(status),
        members,
        grantOf: (attempt) => workshop.grantOf(attempt),
        leftovers: (kept) => workshop.leftovers(new Set(kept)),
      },
      { slots: kept.slots, memBytes: totalmem() },
    );
  }

  #boundCache(): void {
    this.#core.clock.every(CACHE_LOOK_MS, () => void this.#evict(CACHE_MAX_BYTES), this.#stopped.signal);
  }

  async #evict(maxBytes: number): Promise<void> {
    if (!this.#isCache) return;
    try {
      await this.#core.blobs.evict(maxBytes, this.#workshop.inUse);
    } catch (error) {
      this.#core.out.debug({ err: error }, 'the cache could not be bounded; the next look tries again');
    }
  }

  /** The member list changed: gateways may have moved. */
  onMembers(): void {
    this.#gateways.update(this.#core.members.current().gateways as { peerId: PeerId; addresses: string[] }[]);
  }

  async stop(options: { readonly keep: boolean }): Promise<void> {
    this.#stopped.abort();
    await this.worker.stop(options);
  }
}
