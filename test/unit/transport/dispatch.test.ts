import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLog } from '../../../node/log.ts';
import { Dispatcher } from '../../../node/transport/dispatch.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { PeerId } from '../../../protocol/ids.ts';

const self = 'self' as PeerId;
const nothing = new Uint8Array();

function bed() {
  const rule = { members: new Set(['worker', 'gateway']), joinable: false };
  const admission = {
    isMember: (peer: PeerId) => rule.members.has(peer),
    isGateway: (peer: PeerId) => peer === 'gateway',
    isObserver: (peer: PeerId) => peer === 'observer',
    joinable: () => rule.joinable,
  };
  const dispatcher = new Dispatcher({ self, admission, log: silentLog });
  for (const channel of ['join', 'work', 'blob', 'raft'] as const) dispatcher.handle(channel, 'x', async () => nothing);
  const ask = async (from: string): Promise<string> => {
    const codes: string[] = [];
    for (const channel of ['join', 'work', 'blob', 'raft'] as const) {
      const answer = dispatcher.answer(from as PeerId, channel, 'x', nothing);
      codes.push(
        await answer.then(
          () => 'yes',
          (error: SkeinError) => (error.code === 'forbidden' ? 'no' : error.code),
        ),
      );
    }
    return codes.join(' ');
  };
  return { rule, ask, dispatcher };
}

test('who may speak on which channel: join work blob raft', async () => {
  const { ask, rule } = bed();
  assert.is(await ask('self'), 'yes yes yes yes');
  assert.is(await ask('gateway'), 'yes yes yes yes');
  assert.is(await ask('worker'), 'yes yes yes no');
  assert.is(await ask('observer'), 'no no no no');
  assert.is(await ask('stranger'), 'no no no no');
  rule.joinable = true;
  assert.is(await ask('observer'), 'no no no no');
  assert.is(await ask('stranger'), 'yes no no no');
});

test('membership is judged at each request: a removed member is refused from the next one on', async () => {
  const { ask, rule } = bed();
  assert.is(await ask('worker'), 'yes yes yes no');
  rule.members.delete('worker');
  assert.is(await ask('worker'), 'no no no no');
});

test('whatever a handler throws becomes a SkeinError, and a bug keeps its words to itself', async () => {
  const { dispatcher } = bed();
  dispatcher.handle('work', 'bug', async () => {
    throw new TypeError('/home/someone');
  });
  dispatcher.handle('work', 'sync', () => {
    throw new SkeinError('gone', 'it is gone');
  });
  const failure = (method: string) =>
    dispatcher.answer(self, 'work', method, nothing).then(
      () => undefined,
      (error: SkeinError) => error,
    );
  const bug = await failure('bug');
  assert.is(bug?.code, 'internal-error');
  assert.not.match(bug?.message ?? '', 'someone');
  assert.is((await failure('sync'))?.code, 'gone');
  assert.is((await failure('unknown'))?.code, 'not-found');
});

test.run();
