import { test } from 'uvu';
import { realClock, realRandom } from '../../../node/clock.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { silentLog } from '../../../node/log.ts';
import { Libp2pTransport } from '../../../node/transport/libp2p.ts';
import { transportSuite } from './suite.ts';

transportSuite('libp2p', ({ key, admission, meshId, dialOutOnly, listen }) => {
  const parts = {
    identity: key,
    verifier: makeVerifier(),
    admission,
    clock: realClock(),
    random: realRandom(),
    log: silentLog,
  };
  const at = listen?.replace(/\/p2p\/.*$/, '') ?? '/ip4/127.0.0.1/tcp/0';
  return new Libp2pTransport(parts, { listen: [at], announce: [], meshId, dialOutOnly });
});
test.run();
