// Ctrl-C before there is a job to follow: while its input is awaited, and while its submission is on its way.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SkeinError } from '../../../protocol/errors.ts';
import { Cli, LAUNCHER, type Said } from '../../support/cli.ts';
import { Door } from '../../support/door.ts';
import { ADMIN_KEY } from '../../support/fake-mesh.ts';
import { testFolder } from '../../support/folder.ts';
import { until } from '../../support/mesh.ts';

const folder = testFolder();
const cli = new Cli(folder.path);
const door = await Door.open();
test.after(async () => {
  await door.close();
  folder[Symbol.dispose]();
});

const env = { SKEIN_GATEWAY: door.url, SKEIN_KEY: ADMIN_KEY };

/** Starts a command, sends it Ctrl-C once `isTime`, and answers how it ended. */
async function interrupted(
  args: readonly string[],
  isTime: () => boolean,
  after: () => void = () => undefined,
): Promise<Said> {
  const child = cli.start(args, { env });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  await until('it is time for Ctrl-C', isTime, { seen: () => err });
  child.kill('SIGINT');
  await until('it has heard', () => err !== '' || child.exitCode !== null, { seen: () => err });
  after();
  return { code: await ended, out, err };
}

const jobs = async () => (await door.client().jobs({})).items;

test('while its submission is on its way the job is settled: taken after all, it is cancelled', async () => {
  const before = door.mesh.proposals;
  door.mesh.failing = new SkeinError('no-leader', 'an election goes on', { retryAfterMs: 50 });
  const said = await interrupted(
    ['run', '-d', 'true'],
    () => door.mesh.proposals > before,
    () => {
      door.mesh.failing = undefined;
    },
  );
  assert.is(said.code, 121, said.err);
  assert.match(said.err, /j-[a-z2-7]{6} was submitted and is cancelled\n$/);
  assert.equal(
    (await jobs()).map(({ state }) => state),
    ['cancelled'],
  );
});

test('a submission that nobody can settle in time is told as what it is', async () => {
  const before = door.mesh.proposals;
  door.mesh.failing = new SkeinError('no-leader', 'an election goes on', { retryAfterMs: 50 });
  const said = await interrupted(['run', '-d', 'true'], () => door.mesh.proposals > before);
  door.mesh.failing = undefined;
  assert.is(said.code, 130, said.err);
  assert.match(said.err, /it may have been submitted: skein list\n$/);
});

test('while its input is awaited nothing is submitted', async () => {
  const known = door.mesh.index;
  for (const flags of ['--stdin', '--lines -']) {
    const line = [
      `mkfifo pipe; sleep 20 > pipe & s=$!; set -m; $SKEIN run -d ${flags} true < pipe 2> said & p=$!`,
      'until grep -q "reading what goes along" said; do sleep 0.05; done; kill -INT $p; wait $p; echo $?; kill $s && echo its input was still open; rm pipe',
    ].join('\n');
    const shell = spawn('bash', ['-c', line], {
      cwd: folder.path,
      env: { ...cli.env, ...env, SKEIN: `${process.execPath} ${LAUNCHER}` },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const told = await text(shell.stdout);
    assert.is(told, '130\nits input was still open\n', readFileSync(join(folder.path, 'said'), 'utf8'));
    assert.match(readFileSync(join(folder.path, 'said'), 'utf8'), /nothing was submitted\n$/);
  }
  assert.is(door.mesh.index, known);
});

test.run();
