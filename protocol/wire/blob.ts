// Requests on channel `blob`. Bulk data is pulled in chunks: whoever receives sets the pace, as streams give no back-pressure.
import { type Static, Type } from 'typebox';
import { type Codec, codec } from './codec.ts';
import { Count, closed, Sha256Shape } from './shapes.ts';

/** Method names on channel `blob`. `read` is answered with the raw bytes of the chunk. */
export const blobMethods = { stat: 'stat', read: 'read', pull: 'pull' } as const;

export const chunkMaxBytes = 262_144;
/** Chunks of one transfer that may be asked for at once. */
export const chunksInFlight = 4;
export const blobBatchMax = 1000;

const Stat = Type.Array(Sha256Shape, { minItems: 1, maxItems: blobBatchMax });
export const statCodec: Codec<Static<typeof Stat>> = codec('a question for blobs', Stat);

const Sizes = Type.Array(Type.Union([Count, Type.Null()]), { maxItems: blobBatchMax });
/** One size for each that was asked, null where it is not here. */
export const sizesCodec: Codec<Static<typeof Sizes>> = codec('an answer about blobs', Sizes);

const Read = Type.Object(
  { sha256: Sha256Shape, offset: Count, maxBytes: Type.Integer({ minimum: 1, maximum: chunkMaxBytes }) },
  closed,
);
/** Fails with `not-found`. Fewer bytes than asked come only at the end of the blob. */
export type Read = Static<typeof Read>;
export const readCodec: Codec<Read> = codec('a request for a chunk', Read);

const Pull = Type.Array(Type.Object({ sha256: Sha256Shape, sizeBytes: Count }, closed), {
  minItems: 1,
  maxItems: blobBatchMax,
});
/** Asks a gateway to fetch these from the caller; answered, with an empty body, once they are durable on enough gateways. */
export type Pull = Static<typeof Pull>;
export const pullCodec: Codec<Pull> = codec('a request to fetch blobs', Pull);
