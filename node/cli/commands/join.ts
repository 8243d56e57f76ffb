// `skein join TICKET`: a node that joins a mesh; with a data folder that has joined it just starts again.
import { text } from 'node:stream/consumers';
import { SkeinError } from '../../../protocol/errors.ts';
import { nodeOptions } from '../../config/node-options.ts';
import type { Call, Command } from '../call.ts';
import { runNode } from '../node-process.ts';

export const command: Command = async (call: Call) => {
  const options = await nodeOptions(call.flags, await readTicket(call), call.world.surroundings);
  return runNode(options, call);
};

async function readTicket(call: Call): Promise<string> {
  const [said] = call.args;
  const ticket = (said === '-' ? await text(call.world.stdin) : (said ?? '')).trim();
  if (ticket === '') {
    throw new SkeinError('usage', 'join needs a ticket', {
      fix: 'make one with skein ticket on a machine of the mesh; a node that joined before: skein up --data DIR',
    });
  }
  const { decodeTicket } = await import('../../../protocol/wire/ticket.ts');
  // Here, before anything heavy is loaded, a ticket that was cut in copying is told at once.
  decodeTicket(ticket);
  return ticket;
}
