// The life of a job as its user sees it on the mesh `local`: detached, followed, looked at, run again, stopped, timed out.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Local } from '../../support/local.ts';
import { pidsWith, until } from '../../support/mesh.ts';

const local = await Local.open();
test.after(() => local[Symbol.asyncDispose]());

/** Processes of a test's own script, found by a number that nobody else sleeps for. */
const sleepers = (seconds: string): readonly number[] => pidsWith(`sleep\0${seconds}`);

test('-d prints the id; wait, list, logs, status, outputs and attach find the job', async () => {
  const folder = local.place({ 's.sh': 'echo out; echo err >&2; mkdir d; echo made > d/f; exit 4' });
  const { out: printed } = await local.shell('skein run -q -d s.sh', folder);
  assert.match(printed, /^j-[a-z2-7]{16}\n$/);
  const id = printed.trim();
  const run = (line: string) => local.shell(line, folder);
  assert.is((await run(`skein wait -q ${id}`)).code, 4);
  assert.not.ok(existsSync(join(folder, 'd')));
  assert.match((await run('skein list')).out, new RegExp(`${id} +failed`));
  const logs = await run(`skein logs ${id}`);
  assert.equal([logs.out, logs.err], ['out\n', 'err\n']);
  assert.is((await run('skein logs --stream err @last')).err, 'err\n');
  assert.match((await run(`skein status ${id}`)).out, /exit +4 \(script, exited\)/);
  assert.is((await run(`skein status --check ${id}`)).code, 1);
  assert.match((await run(`skein outputs ls ${id}`)).out, /1 +d\/f +5/);
  assert.is((await run(`skein outputs cat ${id} d/f`)).out, 'made\n');
  assert.match((await run(`skein outputs get --tar - ${id} | tar tv`)).out, /d\/f/);
  await run(`skein outputs get --output-dir got ${id}`);
  assert.is(readFileSync(join(folder, 'got/d/f'), 'utf8'), 'made\n');
  const attached = await run(`cd /; skein attach -q ${id}`);
  assert.equal([attached.code, attached.out, attached.err], [4, 'out\n', 'err\n']);
  assert.is(readFileSync(join(folder, 'd/f'), 'utf8'), 'made\n');
});

test('status says where it shows fewer attempts than there were', async () => {
  const folder = local.place({});
  const { out } = await local.shell('skein run -q --no-fetch --range 1-42 true; skein status @last', folder);
  const lines = out.trimEnd().split('\n');
  assert.match(lines.at(-1) ?? '', /^40 of 42 attempts are shown; those of one task: skein status j-\w+\/TASK$/);
  assert.match(lines.at(-2) ?? '', /^42 +1 /);
});

test('logs -f follows to the end, --tail takes the last lines, --prefix names the task', async () => {
  const folder = local.place({ 's.sh': 'for n in 1 2 3; do echo line $n; sleep 0.2; done' });
  const line = 'j=$(skein run -q -d s.sh); skein logs -f $j; skein logs --tail 1 $j; skein logs --prefix $j/1';
  const lines = [1, 2, 3].map((n) => `line ${n}\n`);
  const expected = [...lines, 'line 3\n', ...lines.map((each) => `1 | ${each}`)].join('');
  assert.is((await local.shell(line, folder)).out, expected);
});

test('retry runs it again, follows and exits like run; --retries does by itself', async () => {
  const folder = local.place({ 's.sh': 'echo try $SKEIN_ATTEMPT; test $SKEIN_ATTEMPT -ge $1' });
  const again = await local.shell('skein run -q s.sh 2; echo $?; skein retry -q @last; echo $?', folder);
  assert.is(again.out, 'try 1\n1\ntry 2\n0\n', again.err);
  const itself = await local.shell(
    'skein run -q --retries 3 s.sh 3 > o; echo $?; cat o; skein logs --attempt 2',
    folder,
  );
  assert.is(itself.out, '0\ntry 3\ntry 2\n', itself.err);
});

test('--timeout ends the whole tree with 124, what was written comes back', async () => {
  const folder = local.place({
    's.sh':
      'echo begun | tee file; sleep 3091 & (setsid sleep 3092 &) & nohup sleep 3093 >/dev/null 2>&1 & exec sleep 3094',
  });
  const ran = await local.shell('skein run -q --timeout 1s s.sh', folder);
  assert.is(ran.code, 124);
  assert.is(ran.out, 'begun\n');
  assert.match(ran.err, /^skein: it ran longer than 1 s; exit 124 after .*\n$/);
  assert.is(readFileSync(join(folder, 'file'), 'utf8'), 'begun\n');
  for (const seconds of ['3091', '3092', '3093', '3094']) assert.equal(sleepers(seconds), [], seconds);
});

test('what a script leaves running does not outlive it, nor keep it', async () => {
  const folder = local.place({
    's.sh': 'sleep 3071 & (setsid sleep 3072 > /dev/null 2>&1 &); env -i setsid nohup sleep 3073 & echo hi; exit 3',
  });
  const ran = await local.shell('skein run -q s.sh', folder);
  assert.equal([ran.code, ran.out], [3, 'hi\n'], ran.err);
  for (const seconds of ['3071', '3072', '3073']) assert.equal(sleepers(seconds), [], seconds);
});

test('Ctrl-C reaches the script as it would here, and what it saves then comes back; a second one kills it; 121 either way', async () => {
  const start =
    'set -m; "$NODE" "$LAUNCHER" run -e DIR=$PWD s.sh & p=$!; until test -e up; do sleep 0.05; done; kill -INT $p';
  const polite = local.place({
    's.sh': 'trap "echo bye; echo all > saved; exit 5" INT; trap "" TERM; echo up; touch $DIR/up; sleep 3051 & wait',
  });
  const ran = await local.shell(`${start}; wait $p`, polite);
  assert.is(ran.code, 121, ran.err);
  assert.match(ran.err, /asking it to stop \(10 s; again to kill it\)/);
  assert.is((await local.shell('skein logs @last', polite)).out, 'up\nbye\n');
  assert.is(readFileSync(join(polite, 'saved'), 'utf8'), 'all\n');
  assert.equal(sleepers('3051'), []);

  const deaf = local.place({ 's.sh': 'trap "" TERM INT; touch $DIR/up; sleep 3052; sleep 3053' });
  const startedAt = performance.now();
  const killed = await local.shell(`${start}; sleep 0.5; kill -INT $p; wait $p`, deaf);
  assert.is(killed.code, 121, killed.err);
  assert.ok(performance.now() - startedAt < 9000, 'it was waited for');
  await until('the deaf one is gone', () => sleepers('3052').length + sleepers('3053').length === 0);
});

test('cancel stops a job, wait says so', async () => {
  const folder = local.place({ 's.sh': 'trap "echo all > saved; exit" TERM; touch $DIR/up; sleep 3061 & wait' });
  const begun = 'j=$(skein run -q -d -e DIR=$PWD s.sh); until test -e up; do sleep 0.05; done';
  assert.is((await local.shell(`${begun}; skein cancel $j; skein wait -q $j`, folder)).code, 121);
  assert.is((await local.shell('skein outputs cat @last saved', folder)).out, 'all\n');
  assert.equal(sleepers('3061'), []);
  const deaf = local.place({ 's.sh': 'trap "" TERM; touch $DIR/up; sleep 3062; sleep 3063' });
  assert.is((await local.shell(`${begun}; skein cancel --grace 1s $j; skein wait -q $j`, deaf)).code, 121);
  assert.equal([...sleepers('3062'), ...sleepers('3063')], []);
});

test('a closed stdout is 141, and the job goes on', async () => {
  const folder = local.place({ 's.sh': 'seq 100000; sleep 0.5; echo done > o' });
  const line =
    'set -o pipefail; skein run -q s.sh | head -1; echo $?; skein wait -q @last; echo $?; skein outputs cat @last o';
  assert.is((await local.shell(line, folder)).out, '1\n141\n0\ndone\n');
});

test('lines come while the script runs, 100 MB come whole', async () => {
  const folder = local.place({
    'slow.sh': 'echo first; until test -e "$FLAG"; do sleep 0.05; done; echo last',
    'much.sh': "head -c 100000000 /dev/zero | tr '\\0' x",
  });
  const flag = join(local.folder, 'the-reader-has-it');
  const reader = `{ read -r l; echo "$l"; touch ${flag}; cat; }`;
  assert.is((await local.shell(`skein run -q -e FLAG=${flag} slow.sh | ${reader}`, folder)).out, 'first\nlast\n');
  const much = await local.shell(
    'skein run -q much.sh | sha256sum; skein logs @last | sha256sum; bash much.sh | sha256sum',
    folder,
  );
  const sums = much.out.trim().split('\n');
  assert.is(sums.length, 3);
  assert.is(new Set(sums).size, 1, much.out);
});

test('the script gets the variables it is given, and none of the caller’s or the daemon’s', async () => {
  const folder = local.place({
    's.sh': 'env | cut -d= -f1 | sort',
    'vars.sh': 'echo "$A|$B|$C"',
    e: '# c\nB=x y=z\n\nC="q"\n',
  });
  const secret = { SECRET_OF_MINE: '1', XDG_RUNTIME_DIR: '/x', NODE_OPTIONS: '--no-deprecation' };
  const all = (await local.shell('skein run -q s.sh', folder, secret)).out.trim().split('\n');
  const own = all.filter((name) => !/_THREADS$|^SKEIN_|^GOMAXPROCS$/.test(name));
  assert.equal(own, ['HOME', 'LANG', 'PATH', 'PWD', 'SHLVL', 'TMPDIR', '_']);
  const given = await local.shell(
    'skein run -q -e A=1 --env-file e vars.sh; A=7 skein run -q -e A vars.sh; skein run -e NONE vars.sh',
    folder,
  );
  assert.is(given.out, '1|x y=z|"q"\n7||\n');
  assert.is(given.code, 125);
  assert.match(given.err, /-e NONE: it is not set here/);
});

test('no descriptor reaches the script or stays with the mesh but the three', async () => {
  const folder = local.place({ 's.sh': 'ls /proc/self/fd | tr "\\n" " "' });
  const fresh = await Local.open();
  try {
    const line =
      'exec 9> lock 77> lock; skein run -q s.sh; exec 9>&- 77>&-; for p in $(pgrep -f local-node.*$STATE); do ls -l /proc/$p/fd; done';
    const ran = await fresh.shell(line, folder, { STATE: fresh.env.XDG_STATE_HOME ?? '' });
    assert.match(ran.out, /^0 1 2 3 total/, ran.err);
    assert.not.match(ran.out, /place-\d+\/lock/);
  } finally {
    await fresh[Symbol.asyncDispose]();
  }
});

test('--json is one document; the streams of the script go to stderr; errors are problems', async () => {
  const folder = local.place({ 's.sh': 'echo o; echo e >&2; echo x > f; exit 3' });
  const ran = await local.shell('skein run -q --json s.sh', folder);
  const { schema, state, exit, outputs } = JSON.parse(ran.out) as Record<string, unknown>;
  assert.is(ran.code, 3);
  assert.equal([schema, state], ['skein.job/1', 'failed']);
  assert.equal(exit, { code: 3, signal: null, source: 'script', reason: 'exited' });
  assert.equal(
    (outputs as { path: string }[]).map(({ path }) => path),
    ['f'],
  );
  assert.equal(ran.err.split('\n').sort(), ['', 'e', 'o']);
  const refused = await local.shell('skein run --json nos.sh', folder);
  assert.is(refused.code, 127);
  assert.is((JSON.parse(refused.err) as { type: string }).type, '/problems/file-missing');
});

test('-q says nothing but what went wrong with skein', async () => {
  const folder = local.place({ 's.sh': 'exit 3' });
  assert.is((await local.shell('skein run -q s.sh', folder)).err, '');
  const missing = await local.shell('skein run -q nosuchcommand', folder);
  assert.is(missing.code, 127);
  assert.match(missing.err, /^skein: nosuchcommand: command not found; exit 127 after .*\n$/);
});

test('the first line comes before anything heavy is loaded', async () => {
  const folder = local.place({ 's.sh': 'true' });
  const first =
    'skein run s.sh 2>&1 | { read -r l; echo "$l"; echo $(( ($(date +%s%N) - at) / 1000000 )); cat > /dev/null; }';
  const node = 'at=$(date +%s%N); "$NODE" -e 0; echo $(( ($(date +%s%N) - at) / 1000000 ))';
  const late: number[] = [];
  // The machine may have other things to do: one of twenty has to come in time.
  for (let n = 0; n < 20 && !late.some((ms) => ms <= 0); n += 1) {
    const [bare, line, took] = (await local.shell(`${node}; at=$(date +%s%N); ${first}`, folder)).out.split('\n');
    assert.match(String(line), /^skein: no mesh configured; running here/);
    late.push(Number(took) - 150 - 2 * Number(bare));
  }
  assert.ok(
    late.some((ms) => ms <= 0),
    `ms above 150 + 2 x node -e 0: ${late}`,
  );
});

test.run();
