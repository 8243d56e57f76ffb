// A gibibyte in and one out: every byte arrives, and no process of skein holds more than 300 MiB for it.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Local, sha256Of } from '../../support/local.ts';
import { pidsWith } from '../../support/mesh.ts';

const SIZE_BYTES = 2 ** 30;
const RSS_MAX_KIB = 300 * 1024;
const SAMPLE_MS = 100;

/** The most memory that a process ever held, by what it is. */
function watchMemory(local: Local): { readonly peaks: ReadonlyMap<string, number>; stop(): void } {
  const peaks = new Map<string, number>();
  const sample = (): void => {
    for (const pid of pidsWith(local.folder, ['cmdline', 'environ'])) {
      try {
        const name = /local-node|runner-home|launcher/.exec(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))?.[0];
        const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
        if (name !== undefined) peaks.set(name, Math.max(peaks.get(name) ?? 0, peak));
      } catch {
        // It has ended between the two looks.
      }
    }
  };
  const timer = setInterval(sample, SAMPLE_MS);
  return { peaks, stop: () => clearInterval(timer) };
}

test('1 GiB goes in and comes out', async () => {
  await using local = await Local.open();
  const folder = local.place({ 's.sh': `tr '\\0' y < "$1" | tee "$2" | sha256sum` });
  await local.shell(`head -c ${SIZE_BYTES} /dev/zero > in`, folder);
  const memory = watchMemory(local);
  const ran = await local.shell('skein run -q s.sh in out', folder);
  memory.stop();
  assert.is(ran.code, 0, ran.err);
  assert.is(statSync(join(folder, 'out')).size, SIZE_BYTES);
  assert.is(`${await sha256Of(join(folder, 'out'))}  -\n`, ran.out);
  const peaks = Object.fromEntries(memory.peaks);
  assert.equal(Object.keys(peaks).sort(), ['launcher', 'local-node', 'runner-home']);
  for (const [name, peak] of memory.peaks) assert.ok(peak < RSS_MAX_KIB, `${name} held ${peak} KiB`);
});

test.run();
