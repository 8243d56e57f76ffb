// The README's first command, as it stands there: it must end with every result back and the late one refused.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('../../..', import.meta.url));

test('npm run demo ends with every result, who ran what, what was rescheduled, and what was refused', () => {
  const ran = spawnSync('npm', ['run', 'demo'], { cwd: root, encoding: 'utf8', timeout: 240_000 });
  const said = `${ran.stdout}\n${ran.stderr}`;
  assert.is(ran.status, 0, said);
  const [, back, of] = /(\d+) of (\d+) reports came back, exit 0/.exec(said) ?? [];
  assert.ok(Number(of) >= 200, said);
  assert.is(back, of, said);
  for (const part of [
    'WHO RAN WHAT',
    'WHAT WAS RESCHEDULED, AND WHY',
    'worker-dead',
    'was refused',
    'THE MERGED AUDIT',
  ]) {
    assert.ok(said.includes(part), `${part} is missing:\n${said}`);
  }
});

test.run();
