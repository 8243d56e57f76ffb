// One node in a process of its own: `child.ts FOLDER LISTEN`. Says where it is on one line of JSON, answers `work/echo` and
// `work/never`, and gossips five times a second. Everyone counts as a member. A line on stdin lets it ask its peer for more than
// it can take.
import { realClock, realRandom } from '../../../node/clock.ts';
import { openIdentity } from '../../../node/identity/identity.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { silentLog } from '../../../node/log.ts';
import { Libp2pTransport } from '../../../node/transport/libp2p.ts';
import type { EpochId, MeshId } from '../../../protocol/ids.ts';
import { sealEnvelope } from '../../../protocol/wire/envelope.ts';

export const meshId = 'ab'.repeat(16) as MeshId;
const epochId = 'cd'.repeat(16) as EpochId;
export const everyone = { isMember: () => true, isGateway: () => true, isObserver: () => false, joinable: () => false };

if (import.meta.main) {
  const [folder = '', listen = ''] = process.argv.slice(2);
  const clock = realClock();
  const random = realRandom();
  const identity = await openIdentity(folder, random);
  const parts = { identity, verifier: makeVerifier(), admission: everyone, clock, random, log: silentLog };
  const transport = new Libp2pTransport(parts, { listen: [listen], announce: [], meshId, dialOutOnly: false });
  await transport.start();
  transport.handle('work', 'echo', async (_, body) => body);
  transport.handle('work', 'never', () => new Promise(() => {}));
  let sequence = clock.now();
  const say = () => {
    const content = { meshId, epochId, topic: 'heartbeats' as const, incarnation: 1, sequence: ++sequence };
    void transport.publish('heartbeats', sealEnvelope({ ...content, body: new Uint8Array() }, identity.signer));
  };
  clock.every(200, say, new AbortController().signal);
  process.stdout.write(`${JSON.stringify({ peerId: identity.peerId, address: transport.addresses()[0] })}\n`);
  // The test that started it is gone when the pipe closes.
  process.stdin
    .on('end', () => process.exit(0))
    .on('data', () => {
      const [peer] = transport.connected();
      for (let n = 0; n < 1024 && peer !== undefined; n++) {
        void transport.call(peer, 'blob', 'chunk', new Uint8Array(), { timeoutMs: 60_000 }).catch(() => undefined);
      }
    });
}
