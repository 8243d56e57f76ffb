import { test } from 'uvu';
import { realClock, realRandom } from '../../../node/clock.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { silentLog } from '../../../node/log.ts';
import { MemoryTransport } from '../../../node/transport/memory.ts';
import { MemoryNetwork } from '../../../node/transport/memory-network.ts';
import { transportSuite } from './suite.ts';

const clock = realClock();
const random = realRandom();
const network = new MemoryNetwork({ clock, random }, { delayMinMs: 0, delayMaxMs: 2, gossipLoss: 0.05 });

transportSuite('memory', ({ key, admission, meshId, dialOutOnly }) => {
  const parts = { network, self: key.peerId, admission, verifier: makeVerifier(), clock, random, log: silentLog };
  return new MemoryTransport(parts, { meshId, dialOutOnly });
});
test.run();
