// What comes back, where it lies, and what it never replaces; and what is said of that which did not go along.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Local, tree } from '../../support/local.ts';

const local = await Local.open();
test.after(() => local[Symbol.asyncDispose]());

const names = async (folder: string): Promise<readonly string[]> => Object.keys(await tree(folder));

test('a file of the user’s is never replaced: the result lies beside it, and that is said', async () => {
  const folder = local.place({ 's.sh': 'echo new > out.txt', 'out.txt': 'mine\n' });
  const kept = await local.shell('skein run s.sh', folder);
  const [aside = ''] = readdirSync(folder).filter((name) => name.startsWith('out.txt.j-'));
  assert.match(kept.err, new RegExp(`out.txt is not skein's to replace; the result is .*${aside}\n`));
  assert.is(readFileSync(join(folder, aside), 'utf8'), 'new\n');
  assert.is(readFileSync(join(folder, 'out.txt'), 'utf8'), 'mine\n');
  await local.shell('skein run -q --overwrite s.sh', folder);
  assert.is(readFileSync(join(folder, 'out.txt'), 'utf8'), 'new\n');
});

test('a result replaces an earlier result, but not one that was edited since', async () => {
  const folder = local.place({ 's.sh': 'echo "$1" > out.txt' });
  await local.shell('skein run -q s.sh one; skein run -q s.sh two', folder);
  assert.equal(await names(folder), ['out.txt', 's.sh']);
  assert.is(readFileSync(join(folder, 'out.txt'), 'utf8'), 'two\n');
  await local.shell('echo edited > out.txt; skein run -q s.sh three', folder);
  assert.is(readFileSync(join(folder, 'out.txt'), 'utf8'), 'edited\n');
});

test('an input that was edited while the script ran is not replaced', async () => {
  const until = (name: string): string => `until test -e "$HERE/${name}"; do sleep 0.02; done`;
  const folder = local.place({ 's.sh': `touch "$HERE/began"; ${until('edited')}; echo more >> in`, in: 'as sent\n' });
  const edit = `${until('began')}; echo edited > in; touch edited`;
  const ran = await local.shell(`export HERE=$PWD; skein run -e HERE s.sh in & ${edit}; wait`, folder);
  const [aside = ''] = readdirSync(folder).filter((name) => name.startsWith('in.j-'));
  assert.is(readFileSync(join(folder, 'in'), 'utf8'), 'edited\n', ran.err);
  assert.ok(existsSync(join(folder, aside)), ran.err);
});

test('all goes below --output-dir, inputs that were changed, too', async () => {
  const folder = local.place({ 's.sh': 'mkdir -p d; echo x > d/o; echo more >> in', in: '1\n' });
  await local.shell('skein run -q --output-dir res/x s.sh in', folder);
  assert.equal(await names(folder), ['in', 'res', 'res/x', 'res/x/d', 'res/x/d/o', 'res/x/in', 's.sh']);
  assert.is(readFileSync(join(folder, 'in'), 'utf8'), '1\n');
});

test('a batch has a folder for each item, also of one base name, and the script’s own stdout stays', async () => {
  const folder = local.place({
    's.sh': 'echo "item $1"; echo err >&2; cp "$1" o.txt; echo own > stdout; exit $(cat "$1")',
    'in/a/x': '0',
    'in/b/x': '0',
    'in/c d': '3',
  });
  const ran = await local.shell("skein run --batch 'in/**' s.sh", folder);
  assert.is(ran.code, 1);
  assert.match(ran.err, /2 completed, 1 failed/);
  assert.is(ran.out, '');
  const of = (item: string) => ['o.txt', 'stderr', 'stdout', 'stdout.skein'].map((name) => `${item}/${name}`);
  const files = (await names(join(folder, 'outputs'))).filter(
    (name) => !['a', 'b', 'a/x', 'b/x', 'c d'].includes(name),
  );
  assert.equal(files, [...of('a/x'), ...of('b/x'), ...of('c d')]);
  const read = (name: string): string => readFileSync(join(folder, 'outputs', name), 'utf8');
  assert.is(read('b/x/stdout.skein'), 'item in/b/x\n');
  assert.is(read('b/x/stdout'), 'own\n');
  assert.is(read('c d/stderr'), 'err\n');
  assert.match((await tree(join(folder, 'outputs')))['a/x/stderr'] ?? '', /^644 /);
});

test('a batch behind the script, a batch of one, lines and ranges; -f shows their lines', async () => {
  const folder = local.place({
    's.sh': 'echo "<$*>"; printf half',
    'in/x.json': '1',
    'in/y.json': '1',
    'one/z.json': '',
  });
  const line = [
    "skein run -q s.sh --batch 'in/*.json' -- -k; cat outputs/*.json/stdout; echo",
    "skein run -q -f --batch 'one/*' s.sh",
    "printf 'a b\\n\\nc' | skein run -q -f --lines - s.sh",
    'skein run -q -f --range 2-3 s.sh n={}',
  ].join('\n');
  const ran = await local.shell(line, folder);
  const lines = ran.out.split('\n').filter((each) => each !== '');
  assert.equal(lines.slice(0, 2), ['<-k in/x.json>', 'half<-k in/y.json>'], ran.err);
  const followed = lines.slice(3).sort();
  const expected = ['1 | <a b>', '1 | half', '2 | <c>', '2 | half', '1 | <n=2>', '1 | half', '2 | <n=3>', '2 | half'];
  assert.equal(followed, [...expected, 'z.json | <one/z.json>', 'z.json | half'].sort());
});

test('a glob that the shell has filled in is told', async () => {
  const folder = local.place({ 's.sh': '', 'in/x': '', 'in/y': '' });
  const ran = await local.shell('skein run s.sh --batch in/*', folder);
  assert.is(ran.code, 125);
  assert.match(ran.err, /quote the glob/);
});

test('runs side by side that write the same file, and one that writes the same bytes twice', async () => {
  const folder = local.place({ 's.sh': 'head -c 3000000 /dev/zero | tee a b c d > e; echo ok' });
  const ran = await local.shell('for n in 1 2 3 4; do skein run -q s.sh & done; wait', folder);
  assert.is(ran.out, 'ok\n'.repeat(4), ran.err);
  assert.is(ran.err, '');
  const all = await tree(folder);
  assert.equal(Object.keys(all), ['a', 'b', 'c', 'd', 'e', 's.sh']);
  assert.is(new Set(['a', 'b', 'c', 'd', 'e'].map((name) => all[name])).size, 1);
});

test('ten at once, each with its own output', async () => {
  const folder = local.place({ 's.sh': 'echo $1 > o$1; echo $1' });
  const ran = await local.shell('for n in $(seq 10); do skein run -q s.sh $n & done; wait', folder);
  const numbers = Array.from({ length: 10 }, (_, n) => String(n + 1));
  assert.equal(ran.out.trim().split('\n').sort(), numbers.toSorted(), ran.err);
  for (const n of numbers) assert.is(readFileSync(join(folder, `o${n}`), 'utf8'), `${n}\n`);
});

test('what a script left and nobody can bring is said', async () => {
  const folder = local.place({ 's.sh': "mkfifo pipe; ln -s / root; echo 1 > $'bad\\xff'; echo 2 > good" });
  const ran = await local.shell('skein run s.sh', folder);
  assert.is(ran.code, 0);
  for (const name of ['pipe', 'root', 'bad']) assert.match(ran.err, new RegExp(`"${name}.{0,2}" was left behind`));
  assert.equal(await names(folder), ['good', 's.sh']);
});

test('an argument that no job can write is refused, not changed', async () => {
  const folder = local.place({ 's.sh': 'echo "$1"' });
  const refused = await local.shell("skein run s.sh $'a\\xff'", folder);
  assert.is(refused.code, 125);
  assert.match(refused.err, /not UTF-8/);
  assert.is((await local.shell("skein run -q s.sh $'a\\xef\\xbf\\xbd'", folder)).out, 'a\ufffd\n');
});

test('the last line names what is here and did not go along', async () => {
  const folder = local.place({
    'cat.sh': 'cat conf.ini >&2',
    'd/lib.sh': '. "$(dirname "$0")/more.sh" || exit 1',
    'd/more.sh': '',
    'conf.ini': '',
    'caught.sh': 'echo "[Errno 2] No such file or directory: \'conf.ini\'" >&2; exit 2',
    'fine.sh': 'cat conf.ini; true',
    'in/a': '',
    'in/b': '',
  });
  const last = async (line: string): Promise<string> =>
    (await local.shell(line, folder)).err.trimEnd().split('\n').at(-1) ?? '';
  const named = (input: string): string => `skein: ${input} is here and did not go along; add --input ${input}`;
  assert.is(await last('skein run cat.sh'), named('conf.ini'));
  assert.is(await last('skein run d/lib.sh'), named('d/more.sh'));
  assert.is(await last('skein run caught.sh'), named('conf.ini'));
  assert.is(await last("skein run --batch 'in/*' cat.sh"), named('conf.ini'));
  assert.match(await last('skein run fine.sh'), /^skein: done in /);
  assert.is((await local.shell('skein run -q --input conf.ini cat.sh', folder)).code, 0);
});

test('the whole disk and the home folder never go along; other folders outside stay, and that is said', async () => {
  const folder = local.place({ 's.sh': 'echo "$1"' });
  for (const path of ['/', '$HOME']) assert.is((await local.shell(`skein run s.sh ${path}`, folder)).code, 125, path);
  const stays = await local.shell('skein run s.sh /usr/lib', folder);
  assert.is(stays.out, '/usr/lib\n');
  assert.match(
    stays.err,
    /\/usr\/lib is a folder outside the current one; it stays here \(--input \/usr\/lib brings it\)/,
  );
});

test.run();
