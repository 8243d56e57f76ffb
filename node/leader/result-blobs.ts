// What a result names is here, and on other gateways too, before the log names it: a result is published with its bytes or
// not at all. The worker delivers to one gateway and may report to another.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import type { Result } from '../../protocol/state/result.ts';
import type { Clock } from '../../protocol/time.ts';
import { outputManifest } from '../../protocol/wire/manifest.ts';
import type { Copies } from '../blob/copies.ts';
import type { GatewayPeers } from '../blob/gateways.ts';
import type { MeshBlobs } from '../blob/mesh-blobs.ts';
import { inTime } from '../in-time.ts';

/** Together, and with a commit, within what a worker waits for the answer to its report. */
const GATHER_MS = 2_500;
const COPY_MS = 2_500;

export interface ResultBlobsParts {
  readonly blobs: Pick<MeshBlobs, 'gather' | 'read'>;
  readonly copies: Pick<Copies, 'make'>;
  readonly gateways: GatewayPeers;
  readonly clock: Clock;
}

export class ResultBlobs {
  readonly #parts: ResultBlobsParts;

  constructor(parts: ResultBlobsParts) {
    this.#parts = parts;
  }

  /**
   * Brings what is not here from another gateway, or from the worker that reports: it keeps all until the report is settled.
   * Copies that take long are not waited for, as that wait is the delivery's. @returns one that is not here yet
   */
  async secure(result: Result, from: PeerId): Promise<Sha256 | undefined> {
    const { blobs, copies, gateways, clock } = this.#parts;
    const named = blobsOf(result);
    const lacking = { withinMs: GATHER_MS, also: [from] };
    const [missing] = await blobs.gather(named, lacking);
    if (missing !== undefined) return missing;
    // The one gateway that there is has all, as its worker delivered it.
    if (gateways.connected().length < 2 && !gateways.anyAway()) return undefined;
    const listed = await this.#listed(result);
    const [unlisted] = await blobs.gather(listed, lacking);
    if (unlisted === undefined) await inTime(clock, COPY_MS, () => copies.make([...named, ...listed]));
    return unlisted;
  }

  async #listed({ outputs }: Result): Promise<ReadonlySet<Sha256>> {
    const listed = new Set<Sha256>();
    if (outputs.kind !== 'manifest') return listed;
    try {
      const manifest = outputManifest();
      for await (const chunk of await this.#parts.blobs.read(outputs.blob)) {
        manifest.push(chunk as Uint8Array);
        for (const file of manifest.take()) if (file.kind === 'file') listed.add(file.span.blob);
      }
    } catch (error) {
      // A list that its worker made wrong leads nobody to anything: that is for whoever reads the outputs to say.
      if (!(error instanceof SkeinError)) throw error;
    }
    return listed;
  }
}

export function blobsOf(result: Result): ReadonlySet<Sha256> {
  const named = new Set<Sha256>();
  for (const span of [result.stdout, result.stderr]) if (span !== null) named.add(span.blob);
  if (result.outputs.kind === 'manifest') named.add(result.outputs.blob);
  else for (const file of result.outputs.files) if (file.kind === 'file') named.add(file.span.blob);
  return named;
}
