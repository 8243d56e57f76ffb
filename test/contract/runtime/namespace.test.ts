// The process runtime where every runner is the first process of a namespace of its own.
import { test } from 'uvu';
import { platform } from '../../../node/runtime/platform.ts';
import { makeRealMachine } from './machine.ts';
import { runtimeContract } from './suite.ts';

if ((await platform.namespaceCommand()) === undefined) {
  test('in a namespace', () => console.log('SKIP in a namespace: this machine allows none'));
} else runtimeContract('in a namespace', () => makeRealMachine());

test.run();
