// `skein config get KEY`: the value in force here.
import { loadConfig } from '../../config/config.ts';
import type { Call, Command } from '../call.ts';

export const command: Command = async (call: Call) => {
  const config = await loadConfig({}, call.world.surroundings);
  const [winner] = config.explain(call.args[0] ?? '');
  const value = winner?.value ?? null;
  if (call.flags.json === true)
    await call.screen.answer(JSON.stringify({ schema: 'skein.config/1', key: call.args[0], value }));
  else if (value !== null) await call.screen.answer(typeof value === 'string' ? value : JSON.stringify(value));
  return value === null ? 1 : 0;
};
