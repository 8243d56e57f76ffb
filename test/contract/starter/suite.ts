// What a runner may believe of a Starter, whichever it has.
import { chmodSync, readFileSync, statSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Starter, StartRequest } from '../../../node/runtime/starter.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';

interface End {
  readonly refused?: string;
  readonly code?: number | null;
  readonly signal?: string | null;
}

export function starterContract(name: string, starter: Starter): void {
  const it = (what: string, body: (folder: TestFolder) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      using folder = testFolder();
      folder.write({ 'work/sub/tool': '#!/bin/sh\necho tool "$@"\n', 'work/plain': 'echo plain "$1"; exit 6\n' });
      for (const file of ['work/sub/tool', 'work/plain']) chmodSync(folder.at(file), 0o755);
      await body(folder);
    });
  };
  const requestOf = (folder: TestFolder, argv: readonly string[], more: Partial<StartRequest> = {}): StartRequest => ({
    argv,
    env: { PATH: '/usr/bin:/bin' },
    folder: folder.at('work'),
    umask: 0o022,
    stdinFile: '/dev/null',
    stdoutFile: folder.at('out'),
    stderrFile: folder.at('err'),
    ...more,
  });
  const run = (request: StartRequest): Promise<End> =>
    new Promise((resolve) => {
      let pid = 0;
      starter.start(request, {
        onStarted(started) {
          pid = started;
        },
        onRefused: (code) => resolve({ refused: code }),
        onExit(code, signal) {
          assert.ok(pid > 0, 'it was said to have started before it ended');
          resolve({ code, signal });
        },
      });
    });

  it('code and signal come as they were', async (folder) => {
    assert.equal(await run(requestOf(folder, ['sh', '-c', 'exit 7'])), { code: 7, signal: null });
    assert.equal(await run(requestOf(folder, ['sh', '-c', 'exit 255'])), { code: 255, signal: null });
    assert.equal(await run(requestOf(folder, ['sh', '-c', 'kill -TERM $$'])), { code: null, signal: 'SIGTERM' });
    assert.equal(await run(requestOf(folder, ['sh', '-c', 'kill -KILL $$'])), { code: null, signal: 'SIGKILL' });
    // Not by its other name, SIGIOT.
    assert.equal(await run(requestOf(folder, ['sh', '-c', 'kill -ABRT $$'])), { code: null, signal: 'SIGABRT' });
  });

  it('arguments and environment arrive byte for byte, and nothing else with them', async (folder) => {
    const argv = ['', 'a b', '"\'$x`', 'new\nline', 'grün 雁', 'x'.repeat(100_000)];
    const print = 'printf "%s\\0" "$@"; printf "%s\\0" "$V"; exec env | grep -v "^\\(PATH\\|PWD\\|V\\|_\\)="';
    const env = { PATH: '/usr/bin:/bin', V: '=ü\n=' };
    await run(requestOf(folder, ['sh', '-c', print, 'sh', ...argv], { env }));
    assert.is(readFileSync(folder.at('out'), 'utf8'), [...argv, env.V, '='].join('\0').replace(/=$/, '=\n'));
  });

  it('it runs in its folder, with its umask, in a group of its own, its streams appended to files', async (folder) => {
    folder.write({ in: 'read this', out: 'before ', 'work/x': '' });
    const script = 'cat; pwd; echo oops >&2; : > made; test "$(ps -o pgid= -p $$ | tr -d " ")" = $$ || exit 9';
    const request = requestOf(folder, ['sh', '-c', script], { umask: 0o077, stdinFile: folder.at('in') });
    assert.equal(await run(request), { code: 0, signal: null });
    assert.is(readFileSync(folder.at('out'), 'utf8'), `before read this${folder.at('work')}\n`);
    assert.is(readFileSync(folder.at('err'), 'utf8'), 'oops\n');
    assert.is(statSync(folder.at('work/made')).mode & 0o777, 0o600);
  });

  it('no signal is ignored or blocked in it', async (folder) => {
    await run(requestOf(folder, ['grep', '-E', '^Sig(Blk|Ign)', '/proc/self/status']));
    assert.match(readFileSync(folder.at('out'), 'utf8'), /^SigBlk:\t0+\nSigIgn:\t0+\n$/);
  });

  it('a command is looked up on its own PATH, from its own folder', async (folder) => {
    assert.equal(await run(requestOf(folder, ['tool', 'one'], { env: { PATH: 'nowhere:sub:/bin' } })), {
      code: 0,
      signal: null,
    });
    assert.equal(await run(requestOf(folder, ['sub/tool', 'two'])), { code: 0, signal: null });
    assert.is(readFileSync(folder.at('out'), 'utf8'), 'tool one\ntool two\n');
  });

  it('a script whose first line names no interpreter is run by sh', async (folder) => {
    assert.equal(await run(requestOf(folder, ['./plain', 'word'])), { code: 6, signal: null });
    assert.is(readFileSync(folder.at('out'), 'utf8'), 'plain word\n');
  });

  it('what cannot start is refused with the code of why', async (folder) => {
    chmodSync(folder.at('work/plain'), 0o644);
    assert.equal(await run(requestOf(folder, ['no-such-command'])), { refused: 'ENOENT' });
    assert.equal(await run(requestOf(folder, ['./no-such-file'])), { refused: 'ENOENT' });
    assert.equal(await run(requestOf(folder, ['./plain'])), { refused: 'EACCES' });
    assert.equal(await run(requestOf(folder, ['plain'], { env: { PATH: '.' } })), { refused: 'EACCES' });
    assert.equal(await run(requestOf(folder, ['true', 'x'.repeat(200_000)])), { refused: 'E2BIG' });
    assert.equal(await run(requestOf(folder, ['true', 'a\0b'])), { refused: 'ERR_INVALID_ARG_VALUE' });
    assert.equal(await run(requestOf(folder, ['true'], { folder: folder.at('gone') })), { refused: 'ENOENT' });
  });

  it('many that end at once are all heard of', async (folder) => {
    const ends = await Promise.all(
      Array.from({ length: 60 }, (_, n) => run(requestOf(folder, ['sh', '-c', `exit ${n}`]))),
    );
    assert.equal(
      ends,
      ends.map((_, n) => ({ code: n, signal: null })),
    );
  });
}
