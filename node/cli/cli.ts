// The entry of the `skein` command: lets Node keep what it compiles, then loads the rest. Compiling and stripping the
// types of a hundred files would cost more than the first line may take (UX.md 7.13).
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const { HOME = homedir(), XDG_CACHE_HOME } = process.env;
// The user's own folder, never the shared temporary one: what lies there is run.
enableCompileCache(join(XDG_CACHE_HOME?.startsWith('/') ? XDG_CACHE_HOME : join(HOME, '.cache'), 'skein', 'compiled'));

const { runProcess } = await import('./command-line.ts');
await runProcess(process.argv.slice(2));
