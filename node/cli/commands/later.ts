// A verb whose face is known and whose inside comes with a later release.
import { SkeinError } from '../../../protocol/errors.ts';
import type { Command } from '../call.ts';

export const command: Command = async (call) => {
  throw new SkeinError('not-in-this-version', `skein ${call.verb} is not in this version`, {
    fix: 'skein help lists what is; the HTTP API may have it',
  });
};
