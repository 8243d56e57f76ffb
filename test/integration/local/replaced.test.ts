// What `run > file` and `run | cat` hold in the end when the machine under an attempt dies and another one starts over.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Local } from '../../support/local.ts';
import { Mesh, until } from '../../support/mesh.ts';

// Says the same in each attempt but for its number, if asked for; in the first one it waits to be killed.
const SCRIPT = `
echo begin
test "$1" = differs && echo "attempt $SKEIN_ATTEMPT"
echo "to stderr" >&2
test $SKEIN_ATTEMPT = 1 && sleep 300
echo "attempt $SKEIN_ATTEMPT" > which
echo end
exit 4
`;

test('a file holds the last attempt alone, a pipe what continues, and one that differs is told', async () => {
  await using local = await Local.open();
  await using mesh = new Mesh();
  const gateway = await mesh.up({ roles: 'gateway,voter' });
  const first = await mesh.join('first', { slots: 4 });
  const names = ['file', 'cut', 'pipe', 'differs'];
  const folder = local.place(Object.fromEntries(names.map((name) => [`${name}/s.sh`, SCRIPT])));
  const env = {
    SKEIN_GATEWAY: gateway.ready.url ?? '',
    SKEIN_KEY: readFileSync(join(gateway.folder, 'admin.key'), 'utf8').trim(),
  };
  const run = (name: string, line: string) => local.shell(line, join(folder, name), env);
  const runs = {
    file: run('file', 'echo before > o; skein run s.sh differs >> o; echo $?; cat o'),
    cut: run('cut', 'skein run -q s.sh differs > o; echo $?; cat o'),
    pipe: run('pipe', 'set -o pipefail; skein run s.sh | tee o; echo $?'),
    differs: run('differs', 'set -o pipefail; skein run s.sh differs | tee o; echo $?'),
  };
  await until('all four say that they have begun', async () => {
    const jobs = await mesh.get<{ items: { state: string }[] }>('/v1/jobs');
    return jobs.items.filter(({ state }) => state === 'running').length === 4;
  });
  const written = (name: string): string => readFileSync(join(folder, name, 'o'), 'utf8');
  await until('what they said has come', () =>
    names.every((name) => written(name).endsWith(name === 'pipe' ? 'begin\n' : 'attempt 1\n')),
  );
  await mesh.join('second', { slots: 4 });
  await first.killAll();

  const file = await runs.file;
  assert.is(file.out, '4\nbefore\nbegin\nattempt 2\nend\n', file.err);
  assert.match(file.err, /first stopped answering; j-\w+ starts again on second \(attempt 2\)/);
  const cut = await runs.cut;
  assert.is(cut.out, '4\nbegin\nattempt 2\nend\n', cut.err);
  const pipe = await runs.pipe;
  assert.is(pipe.out, 'begin\nend\n4\n', pipe.err);
  const differs = await runs.differs;
  assert.is(differs.out, 'begin\nattempt 1\n125\n', differs.err);
  assert.match(differs.err, /differs from what was passed on before; skein logs j-\w+ has the whole\n$/);
  for (const name of ['file', 'pipe']) assert.is(readFileSync(join(folder, name, 'which'), 'utf8'), 'attempt 2\n');
});

test.run();
