// `skein config explain KEY`: every place that says it, the winner first.
import { loadConfig } from '../../config/config.ts';
import type { Call, Command } from '../call.ts';

export const command: Command = async (call: Call) => {
  const config = await loadConfig({}, call.world.surroundings);
  const winners = config.explain(call.args[0] ?? '');
  if (call.flags.json === true) {
    await call.screen.answer(JSON.stringify({ schema: 'skein.configexplain/1', items: winners, next: null }));
    return 0;
  }
  const { formatTable } = await import('../output/table.ts');
  const rows = winners.map(({ value, from }, at) => [at === 0 ? 'wins' : '', JSON.stringify(value), from]);
  await call.screen.answer(formatTable({ header: ['', 'VALUE', 'FROM'], rows }, call.world.stdout.columns));
  return 0;
};
