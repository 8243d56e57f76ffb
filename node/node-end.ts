// How a node says that it is ready and how it ends: SIGTERM and SIGINT drain it, a second one hurries, SIGHUP starts it again
// in place, a launcher's closed pipe and idleness (the mesh `local`) end it.
import { closeSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { PeerId } from '../protocol/ids.ts';
import { surroundings } from './config/folders.ts';
import { removeNodeEntry, writeNodeEntry } from './config/nodes.ts';
import type { Core } from './core.ts';
import type { GatewayPart } from './gateway-part.ts';
import { readObserverNote, writeObserverNote } from './observer-note.ts';
import { withoutEcho } from './signals.ts';
import type { WorkerPart } from './worker-part.ts';

const LAUNCHER_LOOK_MS = 500;
const IDLE_MS = 60_000;
const IDLE_LOOK_MS = 1_000;
const NOTE_EVERY_MS = 2_000;
/** Of members that may be up when this node is not; the latest heard come first. */
const ADDRESSES_MAX = 32;
const READY_POLL_MS = 20;
const READY_LIMIT_MS = 20_000;

interface Parts {
  readonly gateway: GatewayPart | undefined;
  readonly worker: WorkerPart | undefined;
  /** In the order of starting. */
  readonly stops: readonly (() => Promise<void>)[];
}

export class NodeEnd {
  readonly #core: Core;
  readonly #parts: Parts;
  readonly #hurry = new AbortController();
  readonly #watching = new AbortController();
  #entry: string | undefined;
  #ending = false;

  constructor(core: Core, parts: Parts) {
    this.#core = core;
    this.#parts = parts;
  }

  /** Says `ready` once the worker has its lease: from then on the node takes work. */
  async announceReady(): Promise<void> {
    const { clock, options, kept, transport, members, out } = this.#core;
    const until = clock.monotonic() + READY_LIMIT_MS;
    const { worker, gateway } = this.#parts;
    while (worker !== undefined && worker.worker.leaseLeftMs === 0 && clock.monotonic() < until)
      await clock.sleep(READY_POLL_MS);
    const { meshId, meshName } = members.current();
    const url = gateway?.url ?? null;
    const { dataFolder, readyFd } = options;
    if (!options.embedded) {
      const entry = { url, dataFolder, pid: process.pid, meshId, meshName, name: kept.name };
      this.#entry = await writeNodeEntry(entry, surroundings());
    }
    await this.#noteForObservers();
    const where = url === null ? '' : `  ${url}`;
    const lease = worker !== undefined && worker.worker.leaseLeftMs === 0 ? '  (no gateway answers yet)' : '';
    out.info({ url, pid: process.pid }, 'ready');
    if (!options.embedded) {
      process.stderr.write(`skein: ready  ${kept.name} (${kept.roles.join(', ')})  mesh ${meshName}${where}${lease}\n`);
      if (gateway === undefined) this.#sayWhereItListens();
      else process.stderr.write('skein: add a worker: skein ticket, then on the other machine: skein join TICKET\n');
    }
    if (readyFd === undefined) return;
    const addresses = transport.addresses();
    const ready = {
      ready: true,
      pid: process.pid,
      url,
      dataFolder,
      peerId: transport.self,
      meshId,
      meshName,
      name: kept.name,
      addresses,
    };
    writeSync(readyFd, `${JSON.stringify(ready)}\n`);
    closeSync(readyFd);
  }

  #sayWhereItListens(): void {
    const { options, kept } = this.#core;
    const port = options.listen.explicit
      ? undefined
      : /^\/ip4\/0\.0\.0\.0\/tcp\/(\d+)$/.exec(kept.listen[0] ?? '')?.[1];
    if (port === undefined) return;
    process.stderr.write(
      `skein: members may reach it on port ${port} of all addresses (--listen 127.0.0.1:0: on none)\n`,
    );
  }

  /** What `skein peers` on this machine needs to join the gossip; kept current while this node runs. */
  async #noteForObservers(): Promise<void> {
    const { clock, options, members, transport, gossip, out } = this.#core;
    let written = '';
    // Who is away today may be there tomorrow.
    const before = (await readObserverNote(options.dataFolder))?.addresses ?? [];
    // Also where others are told to dial elsewhere (--announce).
    const own = transport.listening().map((address) => `${address}/p2p/${transport.self}`);
    const write = async (): Promise<void> => {
      const list = members.current();
      const gateways = list.gateways.flatMap((gateway) => gateway.addresses);
      const others = list.members.flatMap(
        ({ peerId }) => gossip.table.get(peerId as PeerId)?.heartbeat.addresses ?? [],
      );
      const addresses = new Set([...own, ...transport.addresses(), ...gateways, ...others, ...before]);
      const note = { list, addresses: [...addresses].slice(0, ADDRESSES_MAX) };
      const text = JSON.stringify(note);
      if (text === written) return;
      await writeObserverNote(options.dataFolder, note);
      written = text;
    };
    await write();
    const again = (): void => {
      write().catch((error: unknown) => out.debug({ err: error }, 'the note for observers could not be written'));
    };
    clock.every(NOTE_EVERY_MS, again, this.#watching.signal);
  }

  /** Resolves with the exit code. */
  wait(): Promise<number> {
    return new Promise((resolve) => {
      const end = withoutEcho(
        this.#core.clock,
        () => void this.#onSignal().then((code) => code !== undefined && resolve(code)),
      );
      process.on('SIGTERM', end);
      process.on('SIGINT', end);
      process.on('SIGHUP', () => void this.#restart());
      this.#watchLauncher(end);
      if (this.#core.options.embedded) this.#watchIdleness(end);
    });
  }

  /** @returns the exit code from the first signal, undefined from the later ones. */
  async #onSignal(): Promise<number | undefined> {
    if (this.#ending) {
      this.#hurry.abort();
      return undefined;
    }
    this.#ending = true;
    await this.#removeEntry();
    const deadlineMs = this.#core.options.drainDeadlineMs;
    const drained = await this.#parts.worker?.worker.drain(deadlineMs, this.#hurry.signal);
    if (drained === false) this.#core.out.warn({}, 'running tasks were handed back: they start again elsewhere');
    await this.#stopAll();
    return 0;
  }

  /** In place: attempts stay with their runners, which the new process attaches to. */
  async #restart(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    await this.#parts.worker?.stop({ keep: true });
    await this.#stopAll();
    // No descriptor but the standard ones lives on: `ready` was said, and the launcher is told by its pid from here on.
    const env = { ...process.env, ...(launcher() !== undefined && { SKEIN_LAUNCHER: String(process.ppid) }) };
    const argv = withoutReadyFd(process.argv.slice(1));
    process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...argv], env as Record<string, string>);
  }

  async #stopAll(): Promise<void> {
    this.#watching.abort();
    for (const stop of this.#parts.stops.toReversed()) {
      await stop().catch((error: unknown) => this.#core.out.debug({ err: error }, 'a part did not stop cleanly'));
    }
    this.#core.out.flush();
  }

  async #removeEntry(): Promise<void> {
    if (this.#entry !== undefined) await removeNodeEntry(this.#entry, process.pid);
  }

  /** A launcher that could not replace itself holds a pipe open: when it dies, so do we. */
  #watchLauncher(end: () => void): void {
    const above = launcher();
    if (above === undefined) return;
    const look = (): void => void (process.ppid !== above.pid && end());
    this.#core.clock.every(LAUNCHER_LOOK_MS, look, this.#watching.signal);
    const { fd } = above;
    if (fd === undefined) return;
    // A socket, not a file: a read of a file waits in a thread, and the end of the process would wait for that thread.
    const pipe = new Socket({ fd, readable: true, writable: false });
    pipe.on('close', end).on('error', end).resume().unref();
  }

  #watchIdleness(end: () => void): void {
    const look = (): void => {
      if (this.#parts.gateway?.busyWithin(IDLE_MS) === false) end();
    };
    this.#core.clock.every(IDLE_LOOK_MS, look, this.#watching.signal);
  }
}

function withoutReadyFd(argv: readonly string[]): readonly string[] {
  const at = argv.indexOf('--ready-fd');
  const kept = at < 0 ? argv : argv.toSpliced(at, 2);
  return kept.filter((arg) => !arg.startsWith('--ready-fd='));
}

/** Undefined where the variable speaks of another's launcher: what this process was started from may have had one. */
function launcher(): { readonly pid: number; readonly fd: number | undefined } | undefined {
  const [pid, fd] = (process.env.SKEIN_LAUNCHER ?? '').split(':');
  if (Number(pid) !== process.ppid) return undefined;
  return { pid: process.ppid, fd: fd === undefined ? undefined : Number(fd) };
}
