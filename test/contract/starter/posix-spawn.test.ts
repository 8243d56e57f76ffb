import ffi from 'node:ffi';
import { test } from 'uvu';
import { PosixStarter } from '../../../node/runtime/posix-spawn.ts';
import { starterContract } from './suite.ts';

// A listener for signals does not keep a process alive; a runner has its socket.
const awake = setInterval(() => undefined, 1_000);
test.after(() => clearInterval(awake));

starterContract('by posix_spawn', new PosixStarter(ffi));

test.run();
