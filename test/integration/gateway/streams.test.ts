// Logs and events, followed live: nothing is missed, nothing told twice, and no stream ends quietly.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SkeinError } from '../../../protocol/errors.ts';
import type { JobId } from '../../../protocol/ids.ts';
import { Door, type Sse } from '../../support/door.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const test = suite<{ door: Door }>('streams');
test.before.each(async (context) => {
  context.door = await Door.open();
});
test.after.each(async ({ door }) => {
  await door.close();
  assert.equal(door.faults, []);
});

const names = (events: readonly Sse[]): string[] => events.map((event) => event.event);
const has = (name: string) => (events: readonly Sse[]) => events.some((event) => event.event === name);
const text = (events: readonly Sse[]): string =>
  events
    .filter((event) => event.event === 'log')
    .map((event) => Buffer.from(event.data.base64, 'base64').toString())
    .join('');
const logs = (jobId: JobId, query = ''): string => `/v1/jobs/${jobId}/tasks/1/logs${query}`;

test('a log is read whole or in part, while it grows and when it has ended', async ({ door }) => {
  const jobId = await door.submit();
  assert.is((await door.ask(logs(jobId))).bytes.toString(), '');
  const fence = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 1, 'out', 'hello ');
  door.mesh.write(jobId, 1, 1, 'err', 'oops');
  const live = await door.ask(logs(jobId));
  assert.equal([live.status, live.bytes.toString(), live.headers['skein-attempt']], [200, 'hello ', '1']);
  const part = await door.ask(logs(jobId), { headers: { range: 'bytes=2-' } });
  assert.equal([part.status, part.bytes.toString(), part.headers['content-range']], [206, 'llo ', 'bytes 2-5/*']);
  assert.is((await door.ask(logs(jobId), { headers: { range: 'bytes=6-' } })).status, 416);
  door.mesh.write(jobId, 1, 1, 'out', 'world');
  door.mesh.finish(jobId, 1, fence);
  assert.is((await door.ask(logs(jobId))).bytes.toString(), 'hello world');
  const ended = await door.ask(logs(jobId), { headers: { range: 'bytes=-5' } });
  assert.equal([ended.status, ended.bytes.toString(), ended.headers['content-range']], [206, 'world', 'bytes 6-10/11']);
  assert.is((await door.ask(logs(jobId, '?stream=err'))).bytes.toString(), 'oops');
  assert.is((await door.ask(logs(jobId, '?attempt=2'))).status, 404);
  assert.is((await door.ask(logs(jobId, '?attempt=x'))).status, 400);
});

test('a stream ends with its key', async ({ door }) => {
  const jobId = await door.submit();
  door.mesh.grant(jobId, 1);
  door.mesh.addKey('short', 'short', 'read');
  const headers = { authorization: 'Bearer short' };
  const readers = [await door.stream('/v1/events', headers), await door.stream(logs(jobId), headers)];
  const other = await door.stream('/v1/events');
  assert.is((await door.ask('/v1/keys/short', { method: 'DELETE' })).status, 200);
  for (const reader of readers) {
    const last = (await reader.whole()).at(-1);
    assert.equal([last?.event, last?.data.type], ['error', '/problems/unauthenticated']);
  }
  assert.not.ok(other.ended);
  other.close();
});

test('a log is followed from before its start to its end', async ({ door }) => {
  const jobId = await door.submit();
  const reader = await door.stream(logs(jobId));
  const fence = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 1, 'out', 'a');
  await reader.until((events) => text(events) === 'a');
  door.mesh.write(jobId, 1, 1, 'out', 'é\0b');
  door.mesh.finish(jobId, 1, fence, { exit: { code: 4, signal: null } });
  const events = await reader.whole();
  assert.is(text(events), 'aé\0b');
  assert.equal(names(events).at(0), 'task.attempt');
  const end = events.at(-1);
  assert.equal([end?.event, end?.id, end?.data.state, end?.data.exit.code], ['end', '1.out.5', 'failed', 4]);
});

test('a follower goes on after the last byte it has, also on another connection', async ({ door }) => {
  const jobId = await door.submit();
  const fence = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 1, 'out', 'one ');
  const first = await door.events(logs(jobId), has('log'));
  door.mesh.write(jobId, 1, 1, 'out', 'two');
  door.mesh.finish(jobId, 1, fence);
  const second = await door.events(logs(jobId), has('end'), { 'last-event-id': first.at(-1)?.id ?? '' });
  assert.is(text(second), 'two');
  assert.is(second[0]?.data.offset, 4);
  const again = await door.events(logs(jobId), has('end'), { 'last-event-id': second.at(-1)?.id ?? '' });
  assert.equal(names(again), ['end']);
});

test('when an attempt is replaced the follower is told and gets the next one from its start', async ({ door }) => {
  const jobId = await door.submit();
  const lost = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 1, 'out', 'half');
  const reader = await door.stream(logs(jobId));
  await reader.until((events) => text(events) === 'half');
  door.mesh.lose(jobId, 1, lost);
  const fence = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 2, 'out', 'whole');
  door.mesh.finish(jobId, 1, fence);
  const events = await reader.whole();
  assert.equal(names(events), ['task.attempt', 'log', 'task.attempt', 'log', 'end']);
  const [, , replaced, log] = events;
  assert.equal([replaced?.data.attempt, replaced?.id, replaced?.data.previous.state], [2, '2.out.0', 'lost']);
  assert.equal([log?.data.attempt, log?.data.offset], [2, 0]);
  const all = await door.events(logs(jobId, '?attempt=all'), has('end'));
  assert.is(text(all), 'halfwhole');
  const one = await door.events(logs(jobId, '?attempt=1'), has('end'));
  assert.equal([text(one), names(one).filter((name) => name === 'task.attempt').length], ['half', 1]);
});

test('whoever follows a task that waits to run again hears the attempt to come, not the one before', async ({
  door,
}) => {
  const jobId = await door.submit();
  const failed = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 1, 'out', 'try 1');
  door.mesh.finish(jobId, 1, failed, { exit: { code: 1, signal: null } });
  assert.is((await door.ask(`/v1/jobs/${jobId}/retry`, { body: {} })).status, 202);
  const reader = await door.stream(logs(jobId));
  const fence = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 2, 'out', 'try 2');
  door.mesh.finish(jobId, 1, fence);
  const events = await reader.whole();
  assert.equal([names(events), text(events)], [['task.attempt', 'log', 'end'], 'try 2']);
  assert.equal([events[0]?.data.attempt, events[0]?.data.previous.state], [2, 'finished']);
});

test('a task that is cancelled before it began ends its stream', async ({ door }) => {
  const jobId = await door.submit();
  const reader = await door.stream(logs(jobId));
  await door.ask(`/v1/jobs/${jobId}/cancel`, { body: {} });
  const events = await reader.whole();
  assert.equal([names(events), events[0]?.data.state, events[0]?.data.exit], [['end'], 'cancelled', null]);
});

test('a source that fails is asked again while its attempt is open', async ({ door }) => {
  const jobId = await door.submit();
  const fence = door.mesh.grant(jobId, 1);
  const read = door.mesh.readLog.bind(door.mesh);
  let asked = 0;
  door.mesh.readLog = (request, signal) => {
    if (asked++ === 0) return Promise.reject(new SkeinError('transfer-failed', 'the worker is out of reach'));
    return read(request, signal);
  };
  door.mesh.write(jobId, 1, 1, 'out', 'still there');
  const reader = await door.stream(logs(jobId));
  await reader.until((events) => text(events) === 'still there');
  door.mesh.finish(jobId, 1, fence);
  assert.is((await reader.whole()).at(-1)?.event, 'end');
});

test('the log of a finished attempt that is gone ends the stream with an error that says so', async ({ door }) => {
  const jobId = await door.submit();
  door.mesh.finish(jobId, 1, door.mesh.grant(jobId, 1));
  door.mesh.readLog = () => Promise.reject(new SkeinError('gone', 'kept no longer'));
  const reader = await door.stream(logs(jobId));
  const last = (await reader.whole()).at(-1);
  assert.equal([last?.event, last?.data.type], ['error', '/problems/gone']);
});

test('a Last-Event-ID of another stream, or of none, is refused', async ({ door }) => {
  const jobId = await door.submit();
  for (const id of ['1.err.0', 'x', '0.out.1']) {
    const headers = { accept: 'text/event-stream', 'last-event-id': id };
    assert.is((await door.ask(logs(jobId), { headers })).status, 400);
    assert.is((await door.ask('/v1/events', { headers })).status, 400);
  }
});

test('a log cannot be resumed beyond its end or in an attempt that never was', async ({ door }) => {
  const jobId = await door.submit();
  const ask = (id: string, query = '') =>
    door.ask(logs(jobId) + query, { headers: { accept: 'text/event-stream', 'last-event-id': id } });
  const fence = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 1, 'out', 'abc');
  const early = await door.stream(logs(jobId), { 'last-event-id': '1.out.4' });
  door.mesh.finish(jobId, 1, fence);
  const [error] = await early.whole();
  assert.equal([error?.event, error?.data.type], ['error', '/problems/range-not-satisfiable']);
  const beyond = await ask('1.out.4');
  assert.equal([beyond.status, beyond.json.type, beyond.json.totalBytes], [416, '/problems/range-not-satisfiable', 3]);
  const never = await ask('2.out.0');
  assert.equal([never.status, never.json.type], [404, '/problems/not-found']);
  assert.is((await ask('1.out.0', '?attempt=2')).status, 400);
  assert.match((await ask('1.out.3')).bytes.toString(), /event: end/);
});

test('the events of a job end with job.done, those of the mesh go on', async ({ door }) => {
  const jobId = await door.submit();
  const ofMesh = await door.stream('/v1/events');
  const ofJob = await door.stream(`/v1/jobs/${jobId}/events`);
  const other = await door.submit();
  door.mesh.finish(jobId, 1, door.mesh.grant(jobId, 1));
  const events = await ofJob.whole();
  assert.equal(names(events), ['job.state', 'task.attempt', 'job.state', 'task.state', 'job.state', 'job.done']);
  assert.is(
    events.every((event) => event.data.jobId === jobId),
    true,
  );
  const all = await ofMesh.until(has('job.done'));
  assert.is(
    all.some((event) => event.data.jobId === other),
    true,
  );
  assert.is(ofMesh.ended, false);
  ofMesh.close();
});

test('events go on after the last one seen, each once', async ({ door }) => {
  const jobId = await door.submit();
  const reader = await door.stream('/v1/events');
  const fence = door.mesh.grant(jobId, 1);
  const [seen] = await reader.until(has('task.attempt'));
  reader.close();
  door.mesh.finish(jobId, 1, fence);
  const rest = await door.events('/v1/events', has('job.done'), { 'last-event-id': seen?.id ?? '' });
  assert.equal(names(rest), ['job.state', 'task.state', 'job.state', 'job.done']);
  const ids = [seen, ...rest].map((event) => event?.id);
  assert.is(new Set(ids).size, ids.length);
});

test('where the memory of events is too short, or of another epoch, one gap comes first', async ({ door }) => {
  const jobId = await door.submit();
  const epoch = door.mesh.status().epochId;
  door.mesh.eventsFrom = door.mesh.index;
  for (const id of [`${epoch}.1.0`, `${'0'.repeat(32)}.${door.mesh.index}.0`]) {
    const [gap] = await door.events('/v1/events', has('gap'), { 'last-event-id': id });
    assert.equal([gap?.event, gap?.id?.startsWith(`${epoch}.${door.mesh.index}.`)], ['gap', true]);
  }
  door.mesh.finish(jobId, 1, door.mesh.grant(jobId, 1));
  const ofJob = await door.events(`/v1/jobs/${jobId}/events`, has('job.done'), { 'last-event-id': `${epoch}.1.0` });
  assert.equal(names(ofJob), ['gap', 'job.state', 'job.done']);
});

test('a follower that comes late to an ended job hears its end and nothing more', async ({ door }) => {
  const jobId = await door.submit();
  door.mesh.finish(jobId, 1, door.mesh.grant(jobId, 1));
  const reader = await door.stream(`/v1/jobs/${jobId}/events`);
  assert.equal(names(await reader.whole()), ['job.state', 'job.done']);
  const history = await door.ask(`/v1/jobs/${jobId}/events`);
  assert.equal([history.json.schema, history.json.items.at(-1).type], ['skein.eventlist/1', 'job.done']);
});

test("another project's events are not heard", async ({ door }) => {
  door.mesh.addKey('o', 'other', 'read', 'other');
  const reader = await door.stream('/v1/events', { authorization: 'Bearer o' });
  await door.submit();
  door.mesh.commit({
    kind: 'member.draining',
    peerId: door.mesh.status().self,
    draining: true,
    project: 'default',
    idempotency: null,
    at: door.mesh.nowMs,
  });
  assert.equal(names(await reader.until(has('peer.state'))), ['peer.state']);
  reader.close();
});

test('a stream without news sends a comment now and then, by the clock', async () => {
  const clock = new ManualClock();
  const door = await Door.open({ clock });
  try {
    const reader = await door.stream('/v1/events');
    const before = reader.comments;
    await clock.advance(31_000);
    const deadline = performance.now() + 5000;
    while (reader.comments < before + 2 && performance.now() < deadline) await new Promise(setImmediate);
    assert.ok(reader.comments >= before + 2);
    reader.close();
  } finally {
    await door.close();
  }
});

test('a client that does not read is dropped, and nobody else is held up', async ({ door }) => {
  const socket = await door.socket();
  socket.on('error', () => undefined);
  socket.write('GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin-key-of-the-tests\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  socket.pause();
  const reader = await door.stream('/v1/events');
  let dropped = false;
  socket.on('close', () => {
    dropped = true;
  });
  // Far more than the sockets of both sides and the bound of the stream hold.
  const name = 'x'.repeat(60_000);
  const deadline = performance.now() + 20_000;
  let told = 0;
  while (!dropped && performance.now() < deadline) {
    door.mesh.tell(name);
    told++;
    await reader.until((events) => events.length >= told);
    if (told > 400) socket.resume();
  }
  assert.ok(dropped, `not dropped after ${told} events`);
  assert.is(reader.ended, false);
  reader.close();
});

test.run();
