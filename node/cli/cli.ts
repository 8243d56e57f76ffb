// The entry of the `skein` command: lets Node keep what it compiles, then loads the rest. Compiling and stripping the
// types of a hundred files would cost more than the first line may take (UX.md 7.13).
import { enableCompileCache } from 'node:module';

// The launcher says where; where it has become this process, Node has not looked yet.
if (process.env.NODE_COMPILE_CACHE) enableCompileCache(process.env.NODE_COMPILE_CACHE);

// A node that starts again in place cannot listen yet, and a signal must not end it over attempts that run on.
if (process.env.SKEIN_RESTARTED) {
  const endLater = (): void => {
    process.env.SKEIN_RESTARTED = 'to-end';
  };
  process.on('SIGHUP', () => undefined);
  process.on('SIGTERM', endLater).on('SIGINT', endLater);
}

const { runProcess } = await import('./command-line.ts');
await runProcess(process.argv.slice(2));
