// Makes dist/, the JavaScript that the package ships: Node does not strip types under node_modules. A checkout needs none.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const HELP = 'usage: npm run build    makes dist/ anew; npm pack runs it by itself\n';
const root = fileURLToPath(new URL('..', import.meta.url));

if (process.argv.includes('--help')) {
  process.stdout.write(HELP);
} else {
  rmSync(`${root}dist`, { recursive: true, force: true });
  const tsc = spawnSync(`${root}node_modules/.bin/tsc`, ['-p', `${root}scripts/tsconfig.build.json`], {
    stdio: 'inherit',
  });
  process.exitCode = tsc.status ?? 1;
}
