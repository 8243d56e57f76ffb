// How a node says that it is ready and how it ends: SIGTERM and SIGINT drain it, a second one hurries, SIGHUP starts it again
// in place, a launcher's closed pipe and idleness (the mesh `local`) end it.
import { closeSync, writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { Socket } from 'node:net';
import type { PeerId } from '../protocol/ids.ts';
import { dialable } from './config/dialable.ts';
import { surroundings } from './config/folders.ts';
import { removeNodeEntry, writeNodeEntry } from './config/nodes.ts';
import { formatDuration } from './config/units.ts';
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
/** In SKEIN_RESTARTED, which a node that starts again in place has: a signal to end came before it could listen (cli.ts). */
const TO_END = 'to-end';

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
  #phase: 'up' | 'restarting' | 'ending' = 'up';
  /** Told to end while it restarts. */
  #endAsked = false;
  readonly #ended = Promise.withResolvers<number>();

  constructor(core: Core, parts: Parts) {
    this.#core = core;
    this.#parts = parts;
  }

  /** Resolves with the exit code. */
  get ended(): Promise<number> {
    return this.#ended.promise;
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
    // Whoever reads `ready` may end it at once.
    this.#hearSignals();
    const where = url === null ? '' : `  ${dialable(url)}`;
    const lease = worker !== undefined && worker.worker.leaseLeftMs === 0 ? '  (no gateway answers yet)' : '';
    out.info({ url, pid: process.pid }, 'ready');
    this.#say(`ready  ${kept.name} (${kept.roles.join(', ')})  mesh ${meshName}${where}${lease}`);
    if (gateway !== undefined) this.#say('add a worker: skein ticket, then on the other machine: skein join TICKET');
    // A node ends by a kill or in place, and neither writes down what was compiled: the next start would take twice as long.
    flushCompileCache();
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

  /** In the terminal of a node that was started there; the mesh `local` has none. */
  #say(sentence: string): void {
    if (!this.#core.options.embedded) process.stderr.write(`skein: ${sentence}\n`);
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

  #hearSignals(): void {
    const end = (): void => void this.#onSignal().then((code) => code !== undefined && this.#ended.resolve(code));
    const onSignal = withoutEcho(this.#core.clock, end);
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    process.on('SIGHUP', () => void this.#restart(end));
    this.#watchLauncher(onSignal);
    if (this.#core.options.embedded) this.#watchIdleness(onSignal);
    if (process.env.SKEIN_RESTARTED === TO_END) end();
  }

  /** @returns the exit code from the first signal, undefined from the later ones. */
  async #onSignal(): Promise<number | undefined> {
    if (this.#phase === 'restarting') this.#endAsked = true;
    if (this.#phase === 'ending') this.#hurry.abort();
    if (this.#phase !== 'up') return undefined;
    this.#phase = 'ending';
    await this.#removeEntry();
    const deadlineMs = this.#core.options.drainDeadlineMs;
    const running = this.#parts.worker?.worker.running ?? 0;
    const tasks = running === 1 ? 'one task has' : `${running} tasks have`;
    this.#say(
      running === 0 ? 'stopping' : `stopping; ${tasks} ${formatDuration(deadlineMs)} to end; again to stop at once`,
    );
    const drained = await this.#parts.worker?.worker.drain(deadlineMs, this.#hurry.signal);
    if (drained === false) {
      const back = 'running tasks were handed back: they start again elsewhere';
      this.#core.out.warn({}, back);
      this.#say(back);
    }
    await this.#stopAll();
    this.#say('stopped');
    return 0;
  }

  /** In place: attempts stay with their runners, which the new process attaches to. */
  async #restart(end: () => void): Promise<void> {
    if (this.#phase !== 'up') return;
    this.#phase = 'restarting';
    this.#core.out.info({}, 'starts again in place');
    await this.#parts.worker?.worker.announceRestart();
    if (this.#endAsked) {
      this.#phase = 'up';
      return end();
    }
    await this.#parts.worker?.stop({ keep: true });
    await this.#stopAll();
    // No descriptor but the standard ones lives on: `ready` was said, and the launcher is told by its pid from here on.
    const fromLauncher = launcher() === undefined ? {} : { SKEIN_LAUNCHER: String(process.ppid) };
    const env = { ...process.env, ...fromLauncher, SKEIN_RESTARTED: this.#endAsked ? TO_END : '1' };
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
