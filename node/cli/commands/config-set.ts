// `skein config set KEY VALUE`: kept in config.yaml, its comments too.
import { editConfig } from '../../config/edit.ts';
import type { Call, Command } from '../call.ts';

export const command: Command = async (call: Call) => {
  const [key = '', value = ''] = call.args;
  const file = await editConfig(key, value, call.world.surroundings);
  await call.screen.say(`${key} is set in ${file}`);
  return 0;
};
