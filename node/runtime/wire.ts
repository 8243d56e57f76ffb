// What daemon and runner say to each other: JSON, one message a line, over a unix socket that only the owner can open.
import type { Fence } from '../../protocol/ids.ts';
import type { StopSignal } from '../../protocol/state/rows.ts';
import type { Lease } from './lease.ts';
import type { AttemptEnded, AttemptSpec } from './port.ts';

/** Daemon and runner may be of two releases: a runner that speaks another version is ended, not guessed at. */
export const RUNNER_VERSION = 1;

/** No kernel takes more characters of arguments and environment than this. */
export const ARGUMENTS_LIMIT = 6 * 1024 * 1024;
/** Longest line: JSON makes at most six characters of one. */
const LINE_LIMIT = 8 * ARGUMENTS_LIMIT;

/** The variable by which an attempt's processes are known where there is no namespace: `HOME.FENCE`. */
export const MARKER_NAME = 'SKEIN_MARK';

/** Lease times are the machine's uptime with suspend, read anew by each side. */
export type ToRunner =
  | { readonly kind: 'start'; readonly spec: AttemptSpec; readonly marker: string; readonly lease: Lease }
  | { readonly kind: 'extend'; readonly lease: Lease; readonly listed: boolean }
  | { readonly kind: 'kill'; readonly graceMs: number; readonly signal: StopSignal }
  /** Kill what runs, then end. */
  | { readonly kind: 'leave' };

export type FromRunner =
  /** The first line on every connection. `ended` is set where the end could not be written to disk. */
  | {
      readonly kind: 'state';
      readonly version: number;
      readonly running: RunningRecord | null;
      readonly ended: ExitRecord | null;
    }
  /** The last line to a daemon whose place another has taken. */
  | { readonly kind: 'replaced' }
  | { readonly kind: 'frozen'; readonly frozen: boolean }
  /** The answer to an `extend`: the runner's loop turns. */
  | { readonly kind: 'alive' }
  /** `spent`: the runner holds zombies that it cannot reap, and must not be used again. */
  | { readonly kind: 'ended'; readonly record: ExitRecord; readonly spent: boolean };

export interface RunningRecord {
  readonly fence: Fence;
  readonly folder: string;
  readonly frozen: boolean;
  /** Wall time, ms. */
  readonly startedAt: number;
}

/** `exit.json` in the attempt's folder: how it ended, for whichever daemon asks next. */
export interface ExitRecord extends AttemptEnded {
  readonly fence: Fence;
  readonly folder: string;
  /** Nothing here is fsynced, so a record of another boot proves nothing about the output beside it. */
  readonly bootId: string;
}

export const EXIT_FILE = 'exit.json';

export function encodeLine(message: ToRunner | FromRunner): string {
  return `${JSON.stringify(message)}\n`;
}

/** Cuts a stream of text into lines; throws on a line past the limit. */
export class LineReader {
  #rest = '';

  push(chunk: string): readonly string[] {
    // A long line comes in many chunks: searching all of it again with each would be quadratic.
    const lines = chunk.includes('\n') ? (this.#rest + chunk).split('\n') : [this.#rest + chunk];
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LINE_LIMIT) throw new Error(`a line of more than ${LINE_LIMIT} characters`);
    return lines;
  }
}

/** An object with a `kind`, or undefined. Both sides are of one release, so the rest of the shape is trusted. */
export function parseMessage<M extends ToRunner | FromRunner>(line: string): M | undefined {
  const value = parseObject(line);
  return typeof value?.kind === 'string' ? (value as unknown as M) : undefined;
}

/** The record, or undefined where the text is cut, foreign or of another boot. */
export function parseExitRecord(text: string, bootId: string): ExitRecord | undefined {
  const value = parseObject(text);
  if (value === undefined || value.bootId !== bootId) return undefined;
  const { fence, exit, startedAt, endedAt, reason } = value;
  const whole =
    typeof fence === 'string' &&
    typeof exit === 'object' &&
    exit !== null &&
    typeof startedAt === 'number' &&
    typeof endedAt === 'number' &&
    typeof reason === 'string';
  return whole ? (value as unknown as ExitRecord) : undefined;
}

/** What may be asked of a text before it is known to be anything. */
interface Untrusted {
  readonly kind?: unknown;
  readonly bootId?: unknown;
  readonly fence?: unknown;
  readonly exit?: unknown;
  readonly reason?: unknown;
  readonly startedAt?: unknown;
  readonly endedAt?: unknown;
}

function parseObject(text: string): Untrusted | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    // A cut or foreign text is an expected outcome: the caller decides what it means.
    return undefined;
  }
}
