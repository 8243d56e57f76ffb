// The process runtime with real processes, with a namespace where this machine has them and without.
import { test } from 'uvu';
import { makeRealMachine } from './machine.ts';
import { runtimeContract } from './suite.ts';

const probe = await makeRealMachine();
const { runtime } = await probe.daemon();
const { containment } = runtime;
await probe.close();

if (containment === 'pid-namespace') runtimeContract('process in a namespace', () => makeRealMachine());
else console.log('SKIP process in a namespace: this machine allows none');
if (process.platform === 'linux')
  runtimeContract('process without a namespace', () => makeRealMachine({ namespaces: false }));

test.run();
