import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import type { SkeinError } from '../../../protocol/errors.ts';
import { type EpochId, type JobId, makeFence, type PeerId } from '../../../protocol/ids.ts';
import { prefetchMax, slotsMax } from '../../../protocol/wire/bounds.ts';
import { type Answer, answerCodec, type Heartbeat, heartbeatCodec, isLater } from '../../../protocol/wire/heartbeat.ts';
import {
  decodeGrants,
  encodeGrants,
  finishedCodec,
  logPartCodec,
  type PushedGrant,
} from '../../../protocol/wire/work.ts';
import { answered } from '../../support/grants.ts';
import { begunAt } from '../../support/state.ts';

const epochId = '12'.repeat(16) as EpochId;
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const refuses = (act: () => unknown, code: string): void =>
  assert.throws(act, (error: SkeinError) => error.code === code);

const heartbeat: Heartbeat = {
  peerId: '12D3abc' as PeerId,
  name: 'boxone',
  roles: ['worker'],
  incarnation: 2,
  sequence: 9,
  version: '0.1.0',
  draining: false,
  restarting: false,
  begun: [[makeFence(epochId, 17), 1_790_000_000_000]],
  claim: {
    incarnation: 2,
    sequence: 4,
    slots: 2,
    prefetch: 2,
    memBytes: 1e9,
    wants: [{ jobId: 'j-abcdefghijklmnop' as JobId }],
  },
  slots: { busy: 1, total: 2 },
  load1: 0.5,
  memFreeBytes: 1,
  memTotalBytes: 2,
  cpus: 2,
  loopDelayMs: 1.5,
  blobs: { count: 0, bytes: 0 },
  reach: 'direct',
  addresses: [],
  sentAtUptimeMs: 12.5,
};

const grant = (task: number, letter: string, args: string[] = []): PushedGrant => ({
  fence: makeFence(epochId, 100 + task),
  jobId: `j-${letter.repeat(16)}` as JobId,
  task,
  incarnation: 2,
  attempt: 1,
  taskCount: 200,
  spec: { schema: 'skein.jobspec/1', command: ['true'], args } as JobSpec,
  entry: { item: `item ${task}` },
});

test('a heartbeat reads back, and one that is out of bounds anywhere is refused', () => {
  assert.equal(heartbeatCodec.decode(heartbeatCodec.encode(heartbeat)), heartbeat);
  const wrong: readonly object[] = [
    { begun: [['x.1', 1]] },
    { begun: [[`${epochId}.0`, 1]] },
    { begun: [makeFence(epochId, 1)] },
    { begun: Array.from({ length: 769 }, (_, n) => [makeFence(epochId, n + 1), 1]) },
    { claim: { ...heartbeat.claim, slots: 513 } },
    { claim: { ...heartbeat.claim, prefetch: 257 } },
    { incarnation: -1 },
    { incarnation: 2 ** 60 },
    { sequence: 1.5 },
    { roles: ['king'] },
    { unknown: 1 },
    { name: 'x'.repeat(256) },
    { load1: null },
  ];
  for (const change of wrong)
    refuses(() => heartbeatCodec.decode(json({ ...heartbeat, ...change })), 'invalid-request');
  refuses(() => heartbeatCodec.decode(new Uint8Array(60_001)), 'too-large');
  refuses(() => heartbeatCodec.decode(Uint8Array.of(0xff, 0xfe)), 'invalid-request');
  refuses(() => heartbeatCodec.decode(new TextEncoder().encode('{"peerId":')), 'invalid-request');
});

test('all that a node of the most slots may hold fits its heartbeat and the answer that renews its lease', () => {
  const fences = Array.from({ length: slotsMax + prefetchMax }, (_, n) => makeFence(epochId, 900_000_000_000 + n));
  const claim = { ...heartbeat.claim, slots: slotsMax, prefetch: prefetchMax };
  const full = { ...heartbeat, claim, begun: begunAt(1_790_000_000_000, fences) };
  assert.equal(heartbeatCodec.decode(heartbeatCodec.encode(full)), full);
  const answer = answered(1, { fences });
  assert.equal(answerCodec.decode(answerCodec.encode(answer)), answer);
});

test('deep nesting is refused and nothing worse', () => {
  const deep = new TextEncoder().encode('['.repeat(25_000) + ']'.repeat(25_000));
  refuses(() => heartbeatCodec.decode(deep), 'invalid-request');
});

test('order is by incarnation, then by sequence', () => {
  assert.ok(isLater({ incarnation: 2, sequence: 1 }, { incarnation: 1, sequence: 9 }));
  assert.ok(isLater({ incarnation: 2, sequence: 2 }, { incarnation: 2, sequence: 1 }));
  assert.not(isLater({ incarnation: 2, sequence: 2 }, { incarnation: 2, sequence: 2 }));
});

test('grants of one job carry its spec once, and each grant gets its own back', () => {
  const grants = [grant(1, 'a', ['x'.repeat(10_000)]), grant(2, 'b'), grant(3, 'a', ['x'.repeat(10_000)])];
  const bodies = encodeGrants(grants);
  assert.is(bodies.length, 1);
  assert.ok((bodies[0]?.length ?? 0) < 15_000);
  assert.equal(decodeGrants(bodies[0] ?? new Uint8Array()), grants);
});

test('more grants than fit one push become several, in order and with none lost', () => {
  const grants = Array.from({ length: 40 }, (_, n) =>
    grant(n, String.fromCharCode(97 + (n % 20)), ['y'.repeat(60_000)]),
  );
  const bodies = encodeGrants(grants);
  assert.ok(bodies.length > 1);
  assert.equal(
    bodies.flatMap((body) => decodeGrants(body)),
    grants,
  );
});

test('an answer leaves out grants that do not fit and keeps everything else', () => {
  const grants = Array.from({ length: 24 }, (_, n) => grant(n, String.fromCharCode(97 + n), ['z'.repeat(60_000)]));
  const answer: Answer = {
    incarnation: 2,
    sequence: 9,
    appliedIndex: 5,
    leaseMs: 15_000,
    fences: grants.map(({ fence }) => fence),
    grants,
    window: [],
    members: null,
    dead: null,
  };
  const back = answerCodec.decode(answerCodec.encode(answer));
  assert.ok(back.grants.length > 0 && back.grants.length < grants.length);
  assert.equal({ ...back, grants: [] }, { ...answer, grants: [] });
});

test('a result with an exit code that no process has, or a path beyond the bound, is refused', () => {
  const result = {
    exit: { code: 0, signal: null },
    reason: 'exited',
    detail: null,
    startedAt: 1,
    endedAt: 2,
    stdout: null,
    stderr: null,
    outputs: { kind: 'inline', files: [] },
  };
  const item = { fence: makeFence(epochId, 1), jobId: 'j-abcdefghijklmnop', task: 0, incarnation: 1, result };
  assert.equal(finishedCodec.decode(json([item])), [item]);
  refuses(
    () => finishedCodec.decode(json([{ ...item, result: { ...result, exit: { code: 256, signal: null } } }])),
    'invalid-request',
  );
  const link = { kind: 'link', path: 'x'.repeat(4097), target: 'y' };
  refuses(
    () => finishedCodec.decode(json([{ ...item, result: { ...result, outputs: { kind: 'inline', files: [link] } } }])),
    'invalid-request',
  );
  refuses(() => finishedCodec.decode(json([])), 'invalid-request');
});

test('a part of a log keeps its bytes as they are', () => {
  const part = { end: true, bytes: Uint8Array.of(0, 255, 10) };
  assert.equal(logPartCodec.decode(logPartCodec.encode(part)), part);
  refuses(() => logPartCodec.decode(Uint8Array.of(7)), 'invalid-request');
});

test.run();
