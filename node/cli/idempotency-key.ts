// The word under which the mesh knows a request again that is sent twice: each act gets one of its own.
import type { Call } from './call.ts';

export const newIdempotencyKey = (call: Call): string => Buffer.from(call.world.random.bytes(24)).toString('base64url');
