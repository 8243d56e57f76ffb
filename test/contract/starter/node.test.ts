import { test } from 'uvu';
import { NodeStarter } from '../../../node/runtime/starter.ts';
import { starterContract } from './suite.ts';

starterContract('by Node’s own spawn', new NodeStarter());

test.run();
