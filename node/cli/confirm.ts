// The question before what cannot be undone: asked on a terminal, answered by --yes elsewhere.
import { createInterface } from 'node:readline/promises';
import { SkeinError } from '../../protocol/errors.ts';
import { type Call, isSet } from './call.ts';

/** Returns where the answer is yes. Fails with `usage` where nobody can be asked, `state-conflict` where it is no. */
export async function confirm(question: string, call: Call): Promise<void> {
  if (isSet(call, 'yes')) return;
  const asks = call.flags.input !== false && process.stdin.isTTY === true && call.world.stderr.isTerminal;
  if (!asks) {
    throw new SkeinError('usage', `without a terminal nobody can be asked: ${question}`, { fix: 'add --yes' });
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await lines.question(`skein: ${question} [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    lines.close();
  }
  throw new SkeinError('state-conflict', 'nothing was done', { fix: 'answer y, or add --yes' });
}
