// The process runtime where there are no namespaces, as on macOS: trees are found by group, session, ancestry and mark.
import { test } from 'uvu';
import { makeRealMachine } from './machine.ts';
import { runtimeContract } from './suite.ts';

runtimeContract('without a namespace', () => makeRealMachine({ namespaces: false }));

test.run();
