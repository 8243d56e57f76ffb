// The contract without root's rights: there a namespace needs one for users too.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from '../../contract/runtime/machine.ts';

const CONTRACT = fileURLToPath(new URL('../../contract/runtime/namespace.test.ts', import.meta.url));
const DEADLINE_MS = 240_000;
const title = 'as nobody, in a user namespace, the contract holds';

test(title, async () => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    console.log(`SKIP ${title}: needs root on Linux to become nobody`);
    return;
  }
  const args = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, CONTRACT];
  const child = spawn('setpriv', args, { env: { PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  try {
    await until('the contract ends', () => child.exitCode !== null || child.signalCode !== null, DEADLINE_MS);
  } finally {
    child.kill('SIGKILL');
  }
  assert.is(child.exitCode, 0, output);
  assert.match(output, /Passed: {4}12/, output);
});

test.run();
