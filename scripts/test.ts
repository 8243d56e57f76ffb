// Everything that CI runs: the check, the contract suites and the tests with real processes, quick ones first.
import { spawnSync } from 'node:child_process';

const node = [process.execPath, '--disable-warning=ExperimentalWarning'] as const;

if (process.argv.includes('--help')) {
  process.stdout.write('usage: npm test    npm run check, then contract and integration tests\n');
} else {
  const check = spawnSync(node[0], [node[1], 'scripts/check.ts'], { stdio: 'inherit' });
  const rest = spawnSync(node[0], [node[1], 'test/support/run.ts', 'test/contract', 'test/integration'], {
    stdio: 'inherit',
  });
  process.exitCode = check.status === 0 && rest.status === 0 ? 0 : 1;
}
