// 1 GiB as input and as output: no process may hold it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const GIB = 1024 ** 3;
const child = fileURLToPath(new URL('large-child.ts', import.meta.url));

test('1 GiB is put, staged, collected and fetched within 300 MiB of memory', () => {
  const folder = mkdtempSync(join(tmpdir(), 'skein-large-'));
  try {
    const { stdout, stderr } = spawnSync(process.execPath, [child, folder, String(GIB)], {
      encoding: 'utf8',
      timeout: 120_000,
    });
    assert.ok(stdout, stderr);
    const { rssMiB, fetched, changed, times } = JSON.parse(stdout);
    process.stdout.write(`1 GiB: ${JSON.stringify(times)} ms, at most ${rssMiB} MiB of memory\n`);
    assert.is(fetched, GIB);
    assert.ok(changed);
    assert.ok(rssMiB < 300, `${rssMiB} MiB`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();
