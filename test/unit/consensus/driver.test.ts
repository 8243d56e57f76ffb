// The driver over a disk in memory and a clock that the test moves: order, durability, refusals, restarts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import { type Apply, Consensus, type ConsensusOptions } from '../../../node/consensus/driver.ts';
import type { AppliedBatch, LogStatus } from '../../../node/consensus/log.ts';
import { MemoryDisk, MemoryStorage } from '../../../node/storage/memory.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { EpochId } from '../../../protocol/ids.ts';
import type { Command } from '../../../protocol/state/command.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const initialEpoch = { number: 1, id: 'a'.repeat(32) as EpochId };
const timeoutMs = 10_000;

/** Sets the row under `keyHash` to `at`; a negative `at` deletes it. */
const set = (keyHash: string, at: number): Command => ({ kind: 'key.revoked', keyHash, at });

const apply: Apply = (view, command, { index }) => {
  if (command.kind !== 'key.revoked') throw new Error('not a command of these tests');
  const { keyHash, at } = command;
  if (keyHash === 'refused') {
    return { changes: [], events: [], outcome: { kind: 'refused', code: 'state-conflict', sentence: 'No.' } };
  }
  const before = view.get(keyHash) ?? null;
  const event = { name: 'job.state', project: null, jobId: null, task: null, peerId: null, at, fields: {} } as const;
  return {
    changes: [{ key: keyHash, row: at < 0 ? undefined : at }],
    events: [
      { ...event, sentence: `${keyHash}=${at}` },
      { ...event, sentence: `at ${index}` },
    ],
    outcome: { kind: 'done', answer: { before } },
  };
};

interface Node {
  readonly log: Consensus;
  readonly storage: MemoryStorage;
  readonly clock: ManualClock;
}

async function begin(disk: MemoryDisk, options: Partial<ConsensusOptions> = {}): Promise<Node> {
  const clock = new ManualClock();
  const storage = new MemoryStorage(disk);
  const log = new Consensus({ storage, clock, random: seededRandom('driver'), apply }, { initialEpoch, ...options });
  await log.start();
  return { log, storage, clock };
}

async function end({ log, storage }: Node): Promise<void> {
  await log.stop();
  await storage.close();
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof SkeinError) return error.code;
    throw error;
  }
}

/** Holds every sync until it is let go. */
function hold(disk: MemoryDisk): { syncs: number; letGo: () => void } {
  const gate: { syncs: number; letGo: () => void } = { syncs: 0, letGo: () => undefined };
  disk.sync = () => {
    gate.syncs++;
    return new Promise((resolve) => {
      gate.letGo = resolve;
    });
  };
  return gate;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const keysOf = async (rows: AsyncIterable<readonly [string, unknown]>) => (await Array.fromAsync(rows)).map(String);

test('one voter leads at once and has applied its no-op', async () => {
  const node = await begin(new MemoryDisk());
  const { state, leading, term, appliedIndex, voters, disk, epochId } = node.log.status();
  assert.equal(
    { state, leading, term, appliedIndex, voters, disk, epochId },
    { state: 'leader', leading: true, term: 1, appliedIndex: 1, voters: 1, disk: 'ok', epochId: initialEpoch.id },
  );
  await end(node);
});

test('a command is answered with its outcome and index, a refusal too', async () => {
  const node = await begin(new MemoryDisk());
  assert.equal(await node.log.propose(set('a', 1), { timeoutMs }), {
    index: 2,
    outcome: { kind: 'done', answer: { before: null } },
  });
  const again = await node.log.propose(set('a', 2), { timeoutMs });
  assert.equal(again.outcome, { kind: 'done', answer: { before: 1 } });
  const refused = await node.log.propose(set('refused', 1), { timeoutMs });
  assert.is(refused.outcome.kind, 'refused');
  await end(node);
});

test('nothing is applied or answered before it is synced', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  const gate = hold(disk);
  let answered = false;
  const answer = node.log.propose(set('a', 1), { timeoutMs }).then(() => {
    answered = true;
  });
  await turn();
  assert.is(gate.syncs, 1);
  assert.not.ok(answered);
  assert.is(node.log.view.get('a'), undefined);
  gate.letGo();
  await answer;
  assert.is(node.log.view.get('a'), 1);
  disk.sync = async () => undefined;
  await end(node);
});

test('what is proposed in one turn shares a sync, and what comes during a sync shares the next', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  const gate = hold(disk);
  const answers = [1, 2, 3].map((n) => node.log.propose(set(`a${n}`, n), { timeoutMs }));
  await turn();
  answers.push(...[4, 5].map((n) => node.log.propose(set(`a${n}`, n), { timeoutMs })));
  await turn();
  answers.push(node.log.propose(set('a6', 6), { timeoutMs }));
  assert.is(gate.syncs, 1);
  gate.letGo();
  await Promise.all(answers.slice(0, 3));
  assert.is(gate.syncs, 2);
  assert.is(disk.lastIndex, 4);
  gate.letGo();
  await Promise.all(answers);
  assert.is(disk.lastIndex, 7);
  assert.is(gate.syncs, 2);
  disk.sync = async () => undefined;
  await end(node);
});

test('rows ride in the next append, or are written by themselves after a short idle', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  await node.log.propose(set('a', 1), { timeoutMs });
  assert.is(disk.appliedIndex, 1);
  assert.is(node.storage.row('a'), undefined);
  assert.is(node.log.view.get('a'), 1, 'reads see it all the same');
  await node.log.propose(set('b', 1), { timeoutMs });
  assert.is(disk.appliedIndex, 2);
  assert.is(node.storage.row('a'), 1);
  await node.clock.advance(250);
  assert.is(disk.appliedIndex, 3);
  assert.is(node.storage.row('b'), 1);
  disk.rows.put('b', 7);
  assert.is(node.log.view.get('b'), 7, 'it is held in memory no longer');
  await end(node);
});

test('a scan shows applied rows in key order, whether they are on disk or not', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  for (const key of ['k/1', 'k/3', 'k/5', 'k/6']) await node.log.propose(set(key, 1), { timeoutMs });
  await node.clock.advance(250);
  const gate = hold(disk);
  const answers = [set('k/2', 2), set('k/3', 2), set('k/5', -1), set('k/7', 2)].map((one) =>
    node.log.propose(one, { timeoutMs }),
  );
  await turn();
  gate.letGo();
  await Promise.all(answers);
  assert.is(node.storage.row('k/2'), undefined, 'the overlay alone has it');
  const scan = (options = {}) => keysOf(node.log.scan('k/', options));
  assert.equal(await scan(), ['k/1,1', 'k/2,2', 'k/3,2', 'k/6,1', 'k/7,2']);
  assert.equal(await scan({ reverse: true }), ['k/7,2', 'k/6,1', 'k/3,2', 'k/2,2', 'k/1,1']);
  assert.equal(await scan({ after: 'k/2', limit: 2 }), ['k/3,2', 'k/6,1']);
  assert.equal(await scan({ after: 'k/6', reverse: true, limit: 1 }), ['k/3,2']);
  assert.equal(await scan({ limit: 0 }), []);
  disk.sync = async () => undefined;
  await end(node);
});

test('after a restart every acknowledged command is applied again, with the same events', async () => {
  const disk = new MemoryDisk();
  const first = await begin(disk);
  for (let n = 1; n <= 5; n++) await first.log.propose(set(`a${n}`, n), { timeoutMs });
  const events = first.log.eventsSince(5, Number.POSITIVE_INFINITY);
  await end(first);
  assert.is(disk.appliedIndex, 5);
  const second = await begin(disk);
  assert.is(second.log.status().term, 2);
  assert.is(second.log.status().appliedIndex, 7);
  for (let n = 1; n <= 5; n++) assert.is(second.log.view.get(`a${n}`), n);
  assert.equal(second.log.eventsSince(5, Number.POSITIVE_INFINITY), events);
  await end(second);
});

test('a later start keeps the epoch of the folder', async () => {
  const disk = new MemoryDisk();
  await end(await begin(disk));
  const node = await begin(disk, { initialEpoch: { number: 9, id: 'b'.repeat(32) as EpochId } });
  assert.is(node.log.status().epochId, initialEpoch.id);
  assert.is(node.log.status().epochNumber, 1);
  await end(node);
});

test('a full disk refuses with 507, keeps answering reads, and goes on by itself', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  const seen: LogStatus['disk'][] = [];
  node.log.onStatus((status) => seen.push(status.disk));
  await node.log.propose(set('kept', 1), { timeoutMs });
  disk.refuse('disk-full');
  const inFlight = node.log.propose(set('lost', 1), { timeoutMs });
  assert.is(await codeOf(inFlight), 'disk-full');
  assert.is(await codeOf(node.log.propose(set('lost', 2), { timeoutMs })), 'disk-full');
  assert.is(await codeOf(node.log.snapshot()), 'disk-full');
  assert.is(node.log.status().disk, 'full');
  assert.is(await node.log.readBarrier({ timeoutMs }), node.log.status().appliedIndex);
  assert.is(node.log.view.get('kept'), 1);
  assert.equal(await keysOf(node.log.scan('')), ['kept,1']);
  disk.allow();
  await turn();
  assert.is(node.log.status().disk, 'ok');
  assert.ok(node.log.status().leading);
  assert.is(node.log.view.get('lost'), undefined);
  await node.log.propose(set('later', 3), { timeoutMs });
  await node.clock.advance(250);
  assert.equal(
    disk.rows.select('', {}).map(([key]) => key),
    ['kept', 'later'],
  );
  assert.equal([...new Set(seen)], ['full', 'ok']);
  await end(node);
});

test('a snapshot that waits for rows is told when the disk refuses them', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  await node.log.propose(set('a', 1), { timeoutMs });
  const gate = hold(disk);
  const snapshot = codeOf(node.log.snapshot());
  disk.refuse('disk-full');
  gate.letGo();
  assert.is(await snapshot, 'disk-full');
  await end(node);
});

test('a disk that fails otherwise leaves the outcome unknown', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  disk.refuse('folder-unusable');
  assert.is(await codeOf(node.log.propose(set('a', 1), { timeoutMs })), 'outcome-unknown');
  assert.is(await codeOf(node.log.propose(set('a', 2), { timeoutMs })), 'no-leader');
  assert.is(node.log.status().disk, 'failed');
  await end(node);
});

test('a disk that comes back without what was acknowledged is not written to again', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  await node.log.propose(set('a', 1), { timeoutMs });
  disk.refuse('disk-full');
  assert.is(await codeOf(node.log.propose(set('b', 1), { timeoutMs })), 'disk-full');
  disk.entries.delete(2);
  disk.lastIndex = 1;
  disk.allow();
  await turn();
  assert.is(node.log.status().disk, 'failed');
  assert.is(await codeOf(node.log.propose(set('c', 1), { timeoutMs })), 'no-leader');
  await end(node);
});

test('a start on a disk that takes nothing ends, and says so', async () => {
  const disk = new MemoryDisk();
  await end(await begin(disk));
  disk.refuse('disk-full');
  const node = await begin(disk);
  assert.is(node.log.status().disk, 'full');
  disk.allow();
  await turn();
  assert.ok(node.log.status().leading);
  await end(node);
});

test('past its deadline a proposed command has an unknown outcome', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  const gate = hold(disk);
  const code = codeOf(node.log.propose(set('a', 1), { timeoutMs: 500 }));
  await node.clock.advance(700);
  assert.is(await code, 'outcome-unknown');
  disk.sync = async () => undefined;
  gate.letGo();
  await end(node);
});

test('a caller that gives up is let go at once', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  const gate = hold(disk);
  const controller = new AbortController();
  const answer = node.log.propose(set('a', 1), { timeoutMs, signal: controller.signal });
  await turn();
  controller.abort(new Error('enough'));
  try {
    await answer;
    assert.unreachable('it was answered');
  } catch (error) {
    assert.is((error as Error).message, 'enough');
  }
  disk.sync = async () => undefined;
  gate.letGo();
  await end(node);
});

test('what waits is bounded in number and size', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  const gate = hold(disk);
  const answers = Array.from({ length: 8_192 }, (_, n) => node.log.propose(set(`a${n}`, n), { timeoutMs }));
  assert.is(await codeOf(node.log.propose(set('over', 1), { timeoutMs })), 'too-busy');
  assert.is(await codeOf(node.log.propose(set('x'.repeat(1024 * 1024), 1), { timeoutMs })), 'too-large');
  disk.sync = async () => undefined;
  gate.letGo();
  await Promise.all(answers);
  assert.is(node.log.view.get('a8191'), 8191);
  await end(node);
});

test('a read barrier resolves with an index that holds all committed before', async () => {
  const node = await begin(new MemoryDisk());
  const { index } = await node.log.propose(set('a', 1), { timeoutMs });
  const barriers = [node.log.readBarrier({ timeoutMs }), node.log.readBarrier({ timeoutMs })];
  for (const at of await Promise.all(barriers)) assert.ok(at >= index);
  await end(node);
});

test('batches are told in order, after they are applied', async () => {
  const node = await begin(new MemoryDisk());
  const heard: string[] = [];
  const stop = node.log.onApplied(({ appliedIndex, entries }: AppliedBatch) => {
    assert.is(node.log.status().appliedIndex, appliedIndex);
    heard.push(...entries.map((one) => `${one.index} ${one.events.map((event) => event.sub)}`));
  });
  await Promise.all([1, 2].map((n) => node.log.propose(set('a', n), { timeoutMs })));
  await node.log.propose(set('a', 3), { timeoutMs });
  assert.equal(heard, ['2 0,1', '3 0,1', '4 0,1']);
  stop();
  await node.log.propose(set('a', 4), { timeoutMs });
  assert.is(heard.length, 3);
  await end(node);
});

test('events are remembered as far back as is said, and no further', async () => {
  const node = await begin(new MemoryDisk(), { eventsMax: 10 });
  const sentences = (index: number, sub: number) => node.log.eventsSince(index, sub)?.map((event) => event.sentence);
  await node.log.propose(set('a', 1), { timeoutMs });
  assert.equal(sentences(1, 0), ['a=1', 'at 2']);
  assert.equal(sentences(2, 0), ['at 2']);
  assert.equal(sentences(2, 1), []);
  for (let n = 2; n < 30; n++) await node.log.propose(set('a', n), { timeoutMs });
  assert.is(sentences(1, 0), undefined);
  assert.is(node.log.eventsSince(26, 0)?.length, 9);
  await end(node);
});

test('a snapshot holds all that was applied when it was asked for', async () => {
  const node = await begin(new MemoryDisk());
  await node.log.propose(set('b', 1), { timeoutMs });
  const { index } = await node.log.propose(set('a', 2), { timeoutMs });
  const snapshot = await node.log.snapshot();
  assert.ok(snapshot.index >= index);
  assert.equal(await keysOf(snapshot.rows), ['a,2', 'b,1']);
  await end(node);
});

test('entries far below the applied index are dropped', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk, { keepEntries: 100 });
  for (let n = 0; n < 1_000; n += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, k) => node.log.propose(set('a', n + k), { timeoutMs })));
  }
  assert.ok(disk.entries.size < 500, `${disk.entries.size} entries are kept`);
  assert.ok(disk.entries.size >= 100);
  await end(node);
  const again = await begin(disk, { keepEntries: 100 });
  assert.is(again.log.view.get('a'), 999);
  await end(again);
});

test('stopping answers everyone, and nothing is taken afterwards', async () => {
  const disk = new MemoryDisk();
  const node = await begin(disk);
  const gate = hold(disk);
  const underWay = codeOf(node.log.propose(set('a', 1), { timeoutMs }));
  await turn();
  const queued = codeOf(node.log.propose(set('b', 1), { timeoutMs }));
  const stopped = node.log.stop();
  disk.sync = async () => undefined;
  gate.letGo();
  await stopped;
  assert.is(await underWay, 'none');
  assert.is(await queued, 'no-leader');
  assert.is(await codeOf(node.log.propose(set('c', 1), { timeoutMs })), 'no-leader');
  await node.storage.close();
});

test.run();
