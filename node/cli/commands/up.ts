// `skein up`: a node of the mesh on this machine, until a signal ends it.
import { nodeOptions } from '../../config/node-options.ts';
import type { Call, Command } from '../call.ts';
import { runNode } from '../node-process.ts';

export const command: Command = async (call: Call) => {
  const options = await nodeOptions(call.flags, undefined, call.world.surroundings);
  return runNode(options, call);
};
