// What a mistyped command line, an unreadable file or a broken configuration gets: one line that says what, where and why, the
// contract's exit code, and a mesh that goes on.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Cli, type How, LAUNCHER } from '../../support/cli.ts';
import { Mesh } from '../../support/mesh.ts';

type Case = readonly [args: readonly string[], code: number, says: RegExp, how?: How];

const test = suite<{ mesh: Mesh; cli: Cli; here: string }>('bad input at the command line');

test.before(async (context) => {
  context.mesh = new Mesh();
  await context.mesh.up();
  context.cli = new Cli(context.mesh.folder);
  context.here = context.cli.place('here');
  writeFileSync(join(context.here, 'ok.sh'), 'echo "ok $*"\n');
  mkdirSync(join(context.here, 'folder'));
  symlinkSync('loop-b', join(context.here, 'loop-a'));
  symlinkSync('loop-a', join(context.here, 'loop-b'));
  writeFileSync(join(context.here, 'text.bin'), 'no script');
});
test.after(async ({ mesh, cli, here }) => {
  const { code, out } = await cli.run(['run', '-q', 'ok.sh', 'still'], { cwd: here });
  await mesh[Symbol.asyncDispose]();
  assert.equal([code, out], [0, 'ok still\n'], 'the mesh goes on afterwards');
});

/** A few at once: each is a process. */
async function judge(cli: Cli, here: string, cases: readonly Case[]): Promise<void> {
  const left = [...cases];
  const lane = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [args, code, says, how = {}] = next;
      await cli.fails(args, code, says, { cwd: here, ...how });
    }
  };
  await Promise.all([lane(), lane(), lane()]);
}

test('a script that is not there, is no file, or tells no runtime', async ({ cli, here }) => {
  await judge(cli, here, [
    [['run', 'nope.py'], 127, /no such script: nope\.py; check/],
    [['run', './nope'], 127, /no such script: \.\/nope/],
    [['run', ''], 127, /no such script/],
    [['run', './folder'], 126, /\.\/folder is no file/],
    [['run', '/dev/null'], 126, /\/dev\/null is no file/],
    [['run', '/proc/self/mem'], 126, /cannot read \/proc\/self\/mem: the system cannot read it/],
    [['run', './text.bin'], 126, /text\.bin is not executable, and its name tells no runtime; chmod \+x it, or say/],
    [['run', './loop-a'], 127, /no such script: \.\/loop-a/],
    [['run', '--runtime', 'cobol', 'ok.sh'], 127, /no runtime cobol; one of process, .*python3/],
    [['run'], 125, /no script is named, and there is no skein\.yaml here; skein run SCRIPT/],
    [['run', '{}'], 125, /stands for each item, and there are no items; give --batch/],
  ]);
});

test('inputs that are not there, cannot be read, or are nobody’s to send', async ({ cli, here }) => {
  await judge(cli, here, [
    [['run', '--input', 'nope', 'ok.sh'], 125, /no such file or folder: nope; check what --input names/],
    [
      ['run', 'ok.sh', '/proc/self/mem'],
      125,
      /cannot read \/proc\/self\/mem: the system cannot read it; nothing was submitted/,
    ],
    [['run', 'ok.sh', '/'], 125, /\/ is the whole disk; skein never takes that along; name/],
    [
      ['run', '--env-file', 'nope', 'ok.sh'],
      125,
      /cannot read nope: there is no such file; check what --env-file names/,
    ],
    [['run', '--env-file', 'folder', 'ok.sh'], 125, /cannot read folder: it is a folder/],
    [['run', '--env-file', 'ok.sh', 'ok.sh'], 125, /ok\.sh:1: expected NAME=VALUE/],
    [['run', '--env-file=nope', 'ok.sh'], 125, /cannot read nope/],
    [['run', '-e', 'NOT_SET_HERE', 'ok.sh'], 125, /-e NOT_SET_HERE: it is not set here; say/],
    [['run', '-e', '1=2', 'ok.sh'], 125, /-e 1=2|--env/],
  ]);
});

test('started by its own name, skein gets its --env-file, which Node would take for its own', async ({ cli, here }) => {
  const said = spawnSync(LAUNCHER, ['run', '--env-file', 'nope', 'ok.sh'], {
    cwd: here,
    env: { ...cli.env, PATH: `${dirname(process.execPath)}:${cli.env.PATH}` },
    encoding: 'utf8',
  });
  assert.equal([said.status, said.stdout], [125, '']);
  assert.match(said.stderr, /^skein: cannot read nope: there is no such file; [^\n]*\n$/);
});

test('as another user, a file that only its owner may read', async ({ mesh, cli, here }) => {
  const secret = join(here, 'secret.sh');
  writeFileSync(secret, 'echo secret\n');
  chmodSync(secret, 0o600);
  chmodSync(cli.folder, 0o755);
  const other = cli.place('nobody');
  chmodSync(other, 0o777);
  const isRoot = process.getuid?.() === 0;
  if (!isRoot) chmodSync(secret, 0o000);
  const by = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
  const connection = { SKEIN_GATEWAY: mesh.gateway.ready.url ?? '', SKEIN_KEY: mesh.key };
  const env = {
    ...connection,
    HOME: other,
    XDG_STATE_HOME: join(other, 'state'),
    XDG_CONFIG_HOME: join(other, 'config'),
  };
  await judge(cli, here, [
    [['run', 'secret.sh'], 126, /cannot read .*secret\.sh: this user may not; make it readable/, { by, env }],
    [
      ['run', 'ok.sh', 'secret.sh'],
      125,
      /cannot read secret\.sh: this user may not; nothing was submitted/,
      { by, env },
    ],
    [['run', '--batch', '*.sh', 'ok.sh'], 125, /cannot read secret\.sh: this user may not/, { by, env }],
  ]);
  rmSync(secret);
});

test('batches that match nothing, and lists that are none', async ({ cli, here }) => {
  await judge(cli, here, [
    [['run', 'ok.sh', '--batch', 'none/*.txt'], 125, /--batch none\/\*\.txt matches nothing here; check the glob/],
    [['run', '--batch', 'no[', 'ok.sh'], 125, /--batch no\[ matches nothing here/],
    [['run', '--lines', 'nope', 'ok.sh'], 125, /cannot read nope: there is no such file; name an existing file/],
    [['run', '--lines', 'folder', 'ok.sh'], 125, /cannot read folder: it is a folder/],
    [['run', '--items', 'ok.sh', 'ok.sh'], 125, /--items ok\.sh is no JSON: .*; give a JSON array/],
    [['run', '--range', '5-1', 'ok.sh'], 125, /--range 5-1 is no range; give two numbers/],
    [['run', '--range', '1-99999999', 'ok.sh'], 125, /more than a job takes \(1000000\); split the batch/],
  ]);
});

test('flags that say nonsense are named, with what was expected', async ({ cli, here }) => {
  const long = 'x'.repeat(100_000);
  await judge(cli, here, [
    [['run', '--needs', 'cpu=x', 'ok.sh'], 125, /--needs cpu=x: expected needs such as cpu=2,mem=4g/],
    [['run', '--timeout', 'never', 'ok.sh'], 125, /--timeout never: expected a duration such as 10m/],
    [['run', '--retries', '101', 'ok.sh'], 125, /--retries 101: expected a whole number from 0 to 100/],
    [['run', '--name', long, 'ok.sh'], 125, /--name x+.*expected a name of at most 200 characters/],
    [['run', '--bogus', 'ok.sh'], 125, /unknown option '--bogus'; see skein run --help/],
    [['run', '--secret', 'x', 'ok.sh'], 125, /--secret of skein run is not in this version/],
    [['frob'], 2, /unknown command 'frob'; see skein --help/],
    [['secret', 'list'], 2, /skein secret is not in this version/],
    [['members', 'x'], 2, /too many arguments for 'members'/],
    [['list', '--state', 'foo'], 2, /state must be one of queued, running/],
    [['list', '--limit', '-1'], 2, /--limit/],
    [['ticket', '--ttl', 'x'], 2, /--ttl x is no duration/],
  ]);
});

test('jobs, tasks, attempts and files that are not there', async ({ mesh, cli, here }) => {
  const { jobId } = await mesh.shell('echo one', { name: 'one' });
  await mesh.untilEnded(jobId);
  await judge(cli, here, [
    [['status', 'j-zzzzzzzz'], 3, /there is no job j-zzzzzzzz; skein list/],
    [['attach', 'j-zzzzzzzz'], 125, /there is no job j-zzzzzzzz/],
    [['wait', 'j-zzzzzzzz'], 125, /there is no job j-zzzzzzzz/],
    [['status', 'j'], 2, /j names no job; give an id or its first characters/],
    [['status', '../../etc'], 2, /names no job/],
    [['status', ''], 2, /no job is named/],
    [['cancel', '@nope'], 2, /@nope names no job/],
    [['logs', `${jobId}/99`], 3, /has one task, no task 99/],
    [['logs', `${jobId}/0`], 2, /tasks count from 1/],
    [['logs', jobId, '--attempt', '9'], 3, /there is no attempt 9/],
    [['outputs', 'cat', jobId, '../../x'], 3, /left no file \.\.\/\.\.\/x/],
    [['retry', jobId], 125, /has no task to retry/],
  ]);
});

test('where to connect: keys and gateways that are none', async ({ mesh, cli, here }) => {
  const url = mesh.gateway.ready.url ?? '';
  const at = (SKEIN_GATEWAY: string, SKEIN_KEY = mesh.key): How => ({ env: { SKEIN_GATEWAY, SKEIN_KEY } });
  const read = 'r'.repeat(40);
  const { createHash } = await import('node:crypto');
  const keyHash = createHash('sha256').update(read).digest('hex');
  await mesh.post('/v1/keys', { name: 'reader', scope: 'read', keyHash });
  await judge(cli, here, [
    [['list'], 4, /the key is not one of this mesh; send a key of this mesh .*SKEIN_KEY/, at(url, 'wrong')],
    [['run', 'ok.sh'], 125, /the key is not one of this mesh/, at(url, 'wrong')],
    [['list'], 4, /what SKEIN_KEY holds is no key: it must be one line/, at(url, 'two\nlines')],
    [['list'], 4, /what SKEIN_KEY holds is no key/, at(url, 'x'.repeat(100_000))],
    [['list', '--gateway', url, '--key-file', '/dev/zero'], 4, /what \/dev\/zero holds is no key/],
    [['list', '--gateway', url, '--key-file', 'nope'], 4, /nope cannot be read: there is no such file; use its owner/],
    [['run', 'ok.sh'], 125, /the key reader has the scope read; this needs submit; ask an admin/, at(url, read)],
    [['ticket'], 4, /the key reader has the scope read; this needs admin/, at(url, read)],
    [['list'], 6, /http:\/\/127\.0\.0\.1:1 does not answer: .*; is the gateway running/, at('http://127.0.0.1:1')],
    [['run', 'ok.sh'], 125, /http:\/\/127\.0\.0\.1:1 does not answer/, at('http://127.0.0.1:1')],
    [['list'], 2, /garbage is no gateway: it is not http/, at('garbage')],
    [['list'], 6, /does not speak TLS \(https\) there/, at(url.replace('http:', 'https:'))],
    [['list', '--mesh', 'nope'], 3, /no mesh nope is known here; known are/],
  ]);
  await mesh.request('DELETE', '/v1/keys/reader');
  await cli.fails(['list'], 4, /the key reader has been revoked/, at(url, read));
});

test('something else on that port is no gateway', async ({ cli, here }) => {
  const { createServer } = await import('node:http');
  let status = 200;
  const page = createServer((_, response) => response.writeHead(status).end('<html>sign in</html>'));
  await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = page.address() as { port: number };
    const env = { SKEIN_GATEWAY: `http://127.0.0.1:${port}`, SKEIN_KEY: 'k' };
    await cli.fails(['list'], 6, /\(status 200\) is no gateway of skein; check the address/, { cwd: here, env });
    status = 503;
    const proxied = /a proxy answers at .* \(status 503\), the gateway behind it does not; is the gateway running\?/;
    await cli.fails(['list'], 6, proxied, { cwd: here, env });
  } finally {
    page.close();
  }
});

const JOB_FILES: readonly (readonly [text: string, says: RegExp])[] = [
  ['timeout: never\n', /skein\.yaml:1:1 timeout: expected a duration such as 10m/],
  ['name: a\n\nretries: -1\n', /skein\.yaml:3:1 retries: expected a whole number from 0 to 100/],
  ['a: [\n', /skein\.yaml:2:1: /],
  ['retries: 5\nretries: 6\n', /skein\.yaml:2:1: Map keys must be unique/],
  ['scirpt: ok.sh\n', /skein\.yaml:1:1 scirpt: expected a setting such as/],
  ['- 1\n', /skein\.yaml:1:1: expected keys and values/],
  ['script: [1]\n', /skein\.yaml:1:1 script: expected a path/],
  ['script: ok.sh\ngateway: http://evil\n', /skein\.yaml:2:1 gateway: a job's file cannot say where to connect/],
  ['mesh: x\n', /skein\.yaml:1:1 mesh: a job's file cannot say where/],
  ['key: x\n', /skein\.yaml:1:1 key: a job's file cannot say where/],
  ['key-file: x\n', /skein\.yaml:1:1 key-file: a job's file cannot say where/],
  [`args: ${'['.repeat(20_000)}${']'.repeat(20_000)}\n`, /skein\.yaml:1:\d+: it nests too deeply/],
  [
    // Nine lists of nine of the one before, nine times.
    `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefgh'].map((name, at) => `${name}: &${name} [${`*${'abcdefgh'[at]},`.repeat(9)}]\n`).join('')}`,
    /skein\.yaml: .*alias/,
  ],
  [`# ${'x'.repeat(1_100_000)}\n`, /skein\.yaml is larger than 1 MiB/],
];

test('a job’s file: file, line, key and what was expected; and never where to connect', async ({ cli }) => {
  const cases = JOB_FILES.map(([text, says], at): Case => {
    const cwd = cli.place(`job-file-${at}`);
    writeFileSync(join(cwd, 'ok.sh'), 'echo ok\n');
    writeFileSync(join(cwd, 'skein.yaml'), text);
    return [text.startsWith('script: [') ? ['run'] : ['run', 'ok.sh'], 125, says, { cwd }];
  });
  const cwd = cli.place('job-folder');
  mkdirSync(join(cwd, 'skein.yaml'), { recursive: true });
  cases.push([['run', 'x'], 125, /cannot read .*skein\.yaml: it is a folder; make skein\.yaml a file/, { cwd }]);
  await judge(cli, cwd, cases);
});

test('a user’s configuration: file, line, key and what was expected', async ({ cli, here }) => {
  const cases: readonly (readonly [text: string, says: RegExp])[] = [
    ['gateway: [1]\n', /config\.yaml:1:1 gateway: expected text/],
    ['meshes: 5\n', /config\.yaml:1:1 meshes: expected a name for each mesh/],
    ['meshes:\n  a: {}\n', /config\.yaml:2:3 meshes\.a: expected gateways: a list of URLs/],
    ['frob: 1\n', /config\.yaml:1:1 frob: expected a setting such as/],
    ['timeout: 10m\ngateway:\n\t- x\n', /config\.yaml:3:1: Tabs are not allowed/],
  ];
  await judge(
    cli,
    here,
    cases.map(([text, says], at): Case => {
      const config = cli.place(`config-${at}/skein`);
      writeFileSync(join(config, 'config.yaml'), text);
      return [['list'], 2, says, { env: { XDG_CONFIG_HOME: join(config, '..') } }];
    }),
  );
  await cli.fails(['run', 'ok.sh'], 125, /SKEIN_TIMEOUT=x: expected a duration/, {
    cwd: here,
    env: { SKEIN_TIMEOUT: 'x' },
  });
});

test('with --json the failure is the problem document, on stderr alone', async ({ cli, here }) => {
  const { code, out, err } = await cli.run(['status', 'j-zzzzzzzz', '--json'], { cwd: here });
  const problem = JSON.parse(err) as { type: string; status: number; sentence: string; fix: string };
  assert.equal([code, out, problem.type, problem.status], [3, '', '/problems/not-found', 404]);
  assert.match(problem.sentence, /there is no job j-zzzzzzzz/);
});

test.run();
