// What an attempt left behind, as the log names it: spans of blobs, never bytes.
import type { Sha256 } from '../ids.ts';

/** A run of bytes inside a blob. Small outputs of one attempt share one blob, its pack. */
export interface Span {
  readonly blob: Sha256;
  readonly offset: number;
  readonly sizeBytes: number;
}

export type OutputFile =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly sha256: Sha256;
      readonly span: Span;
    }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  /** One that would not come to be by what lies in it: it is empty, or of a mode of its own. */
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number };

/** Inline while it is short (16 files), else a blob that holds the JSON of the OutputFile[]. */
export type Outputs =
  | { readonly kind: 'inline'; readonly files: readonly OutputFile[] }
  | { readonly kind: 'manifest'; readonly blob: Sha256; readonly files: number; readonly sizeBytes: number };

export interface Exit {
  /** 0 to 255, or null where a signal ended the script. */
  readonly code: number | null;
  /** For instance `SIGKILL`, or null. */
  readonly signal: string | null;
}

/** Why an attempt's exit is what it is: the script's own doing, or skein's. */
export type ExitReason =
  | 'exited'
  | 'timeout'
  | 'out-of-memory'
  | 'not-found'
  | 'not-executable'
  | 'input-lost'
  | 'runtime-failed';

export interface Result {
  readonly exit: Exit;
  readonly reason: ExitReason;
  /** A sentence for people where the reason is not `exited`. */
  readonly detail: string | null;
  /** Wall time at the worker, ms. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly stdout: Span | null;
  readonly stderr: Span | null;
  readonly outputs: Outputs;
}
