// The typed client against a real door, over connections that break.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type LogItem, SkeinClient } from '../../../gateway/client/client.ts';
import { createGateway } from '../../../gateway/server.ts';
import { doorCertificate } from '../../../gateway/tls.ts';
import { realClock } from '../../../node/clock.ts';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { JobId } from '../../../protocol/ids.ts';
import { Cutter } from '../../support/cutter.ts';
import { Door } from '../../support/door.ts';
import { ADMIN_KEY } from '../../support/fake-mesh.ts';
import { ManualClock } from '../../support/manual-clock.ts';

interface Context {
  door: Door;
  cutter: Cutter;
  client: SkeinClient;
  abort: AbortController;
}
const test = suite<Context>('client');
const clock = realClock();

test.before.each(async (context) => {
  context.door = await Door.open();
  context.cutter = await Cutter.to(context.door.port);
  context.client = new SkeinClient({ gateways: [{ url: context.cutter.url, pin: null }], key: ADMIN_KEY, clock });
  context.abort = new AbortController();
});
test.after.each(async ({ door, cutter, client, abort }) => {
  abort.abort();
  client.close();
  await cutter.close();
  await door.close();
  assert.equal(door.faults, []);
});

const COMMAND: JobSpec = { schema: 'skein.jobspec/1', command: ['true'] };
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof SkeinError ? error.code : String(error)),
  );

async function gather(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('every call of the contract speaks to a path that is there', async ({ client, door, abort }) => {
  const { jobId } = await client.submit({ ...COMMAND, items: { list: ['a'] } }, 'k');
  assert.is((await client.plan(COMMAND)).fits, true);
  assert.is((await client.job(jobId)).jobId, jobId);
  assert.is((await client.jobs({ state: 'queued', limit: 1 })).items[0]?.jobId, jobId);
  assert.is((await client.task(jobId, 1)).item, 'a');
  assert.is((await client.tasks(jobId, undefined)).items.length, 1);
  assert.is((await client.attempts(jobId, undefined)).items.length, 0);
  assert.is((await client.explain(jobId, 1)).task, 1);
  assert.is((await client.history(jobId)).items.length, 1);
  assert.is((await client.cancel(jobId, {}, 'c')).jobId, jobId);
  assert.is((await client.retry(jobId, { tasks: 'all' }, 'r')).tasks, 1);
  assert.equal((await client.outputs(jobId, 1)).items, []);
  assert.ok((await gather(await client.readTar(jobId, { tasks: '1' }))).length >= 1024);
  assert.equal(await gather(await client.readLog(jobId, 1, { stream: 'out' }, 0)), Buffer.alloc(0));
  assert.is((await client.peers()).source, 'gateway');
  assert.is((await client.members()).items.length, 1);
  assert.is((await client.drain('one', true, 'd')).draining, true);
  assert.is((await client.drain('one', false, 'd2')).draining, false);
  assert.is((await client.createTicket({ secretHash: 'a'.repeat(64), roles: ['worker'] }, 't')).uses, 1);
  assert.is((await client.createKey({ name: 'n', scope: 'read', keyHash: 'b'.repeat(64) }, 'k1')).name, 'n');
  assert.is((await client.rotateKey('n', 'c'.repeat(64), 'r1')).name, 'n');
  assert.type((await client.revokeKey('n')).revokedAt, 'string');
  assert.is((await client.keys()).items.length, 3);
  assert.is((await client.whoami()).name, 'admin');
  assert.is((await client.readiness()).ready, true);
  assert.is(client.gatewayVersion, '1.2.3');
  const waited = client.waitFor(jobId, 60_000, abort.signal);
  door.mesh.finish(jobId as JobId, 1, door.mesh.grant(jobId as JobId, 1));
  assert.is((await waited).state, 'completed');
  assert.is((await client.waitFor(jobId, 0)).state, 'completed');
});

test('a problem of the gateway is thrown as the error that it is', async ({ client }) => {
  assert.is(await codeOf(client.job('j-aaaaaaaaaaaaaaaa')), 'not-found');
  const inputs = [{ path: 'a', sha256: 'f'.repeat(64) }];
  const error = await client.submit({ ...COMMAND, inputs }, 'k').catch((caught: SkeinError) => caught);
  assert.ok(error instanceof SkeinError);
  assert.equal([error.code, error.extra.missing], ['blobs-missing', ['f'.repeat(64)]]);
});

test('a submission whose answer was lost is settled by itself, as one job', async ({ client, cutter, door }) => {
  door.mesh.losesNextAnswer = true;
  await client.submit(COMMAND, 'k-1');
  cutter.cutDownAfter = 20;
  await client.submit(COMMAND, 'k-2');
  assert.is(cutter.cuts, 1);
  assert.is((await client.jobs({})).items.length, 2);
});

test('a gateway that was never there is unreachable soon, one that answered is waited for', async ({
  client,
  cutter,
  door,
}) => {
  const nobody = new SkeinClient({ gateways: [{ url: 'http://127.0.0.1:9', pin: null }], key: 'k', clock });
  assert.is(await codeOf(nobody.whoami()), 'unreachable');
  nobody.close();
  await client.whoami();
  door.mesh.failing = new SkeinError('no-leader', 'an election goes on', { retryAfterMs: 50 });
  const submitted = client.submit(COMMAND, 'k');
  const deadline = performance.now() + 5000;
  while (door.mesh.proposals < 2 && performance.now() < deadline) await new Promise(setImmediate);
  cutter.cutNow();
  door.mesh.failing = undefined;
  assert.match((await submitted).jobId, /^j-/);
});

test('what takes a connection and says nothing is given up after half a minute, and once', async () => {
  let connections = 0;
  const sockets: Socket[] = [];
  const mute = createServer((socket) => {
    connections++;
    sockets.push(socket);
  });
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  const slow = new ManualClock();
  const { port } = mute.address() as AddressInfo;
  const client = new SkeinClient({ gateways: [{ url: `http://127.0.0.1:${port}`, pin: null }], key: 'k', clock: slow });
  try {
    const startedAt = slow.monotonic();
    let failure: SkeinError | undefined;
    void client.whoami().catch((error: SkeinError) => {
      failure = error;
    });
    const deadline = performance.now() + 10_000;
    while (failure === undefined && performance.now() < deadline) {
      // Its request must be out before the clock counts.
      if (connections > 0) await slow.advance(500);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.is(failure?.code, 'unreachable');
    assert.match(failure?.message ?? '', 'says nothing for 30 s');
    assert.ok(slow.monotonic() - startedAt < 35_000);
    assert.is(connections, 1);
  } finally {
    client.close();
    for (const socket of sockets) socket.destroy();
    mute.close();
  }
});

test('the next gateway is asked where the first is away', async ({ door }) => {
  const gateways = [
    { url: 'http://127.0.0.1:9', pin: null },
    { url: door.url, pin: null },
  ];
  const client = new SkeinClient({ gateways, key: ADMIN_KEY, clock });
  assert.is((await client.whoami()).name, 'admin');
  assert.is(client.url, door.url);
  client.close();
});

test('a call that is given up ends at once, with the reason', async ({ client, door, abort }) => {
  const jobId = await door.submit();
  const waited = client.waitFor(jobId, 60_000, abort.signal).catch((error: unknown) => error);
  const reason = new Error('enough');
  abort.abort(reason);
  assert.is(await waited, reason);

  const later = new AbortController();
  const barriers = door.mesh.barriers;
  const held = client.waitFor(jobId, 60_000, later.signal).catch((error: unknown) => error);
  const deadline = performance.now() + 5000;
  while (door.mesh.barriers === barriers && performance.now() < deadline) await new Promise(setImmediate);
  later.abort(reason);
  assert.is(await held, reason);
});

test('an upload that is cut off goes on where it was', async ({ client, cutter, door }) => {
  const bytes = randomBytes(5_000_000);
  const asked: number[] = [];
  const open = async function* (offset: number) {
    asked.push(offset);
    for (let at = offset; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  };
  cutter.cutUpAfter = 2_000_000;
  await client.upload({ sha256: sha(bytes), sizeBytes: bytes.length, offset: 0, open });
  assert.is(cutter.cuts, 1);
  // What was under way when the line was cut may still arrive while it is asked where to go on: then it asks again.
  assert.ok(asked.length >= 2 && asked.every((offset, at) => at === 0 || offset > (asked[at - 1] ?? 0)), String(asked));
  assert.is((await door.mesh.blobs.stat(sha(bytes) as never))?.sizeBytes, bytes.length);
});

test('a small upload goes at once, an empty one too, and bytes of another hash are refused for good', async ({
  client,
}) => {
  for (const bytes of [randomBytes(10), Buffer.alloc(0)]) {
    const open = async function* () {
      yield bytes;
    };
    await client.upload({ sha256: sha(bytes), sizeBytes: bytes.length, offset: 0, open });
    assert.ok((await gather(await client.readBlob(sha(bytes)))).equals(bytes));
  }
  const wrong = async function* () {
    yield Buffer.from('abc');
  };
  const blob = { sha256: 'a'.repeat(64), sizeBytes: 3, offset: 0, open: wrong };
  assert.is(await codeOf(client.upload(blob)), 'digest-mismatch');
  const large = randomBytes(2_000_000);
  const lying = async function* (offset: number) {
    yield large.subarray(offset);
  };
  assert.is(await codeOf(client.upload({ ...blob, sizeBytes: large.length, open: lying })), 'digest-mismatch');
});

test('a file that cannot be read ends its upload with that error', async ({ client }) => {
  const unreadable = async function* () {
    yield Buffer.from('a');
    throw new SkeinError('file-unreadable', 'the disk is gone');
  };
  const blob = { sha256: 'a'.repeat(64), offset: 0, open: unreadable };
  assert.is(await codeOf(client.upload({ ...blob, sizeBytes: 3 })), 'file-unreadable');
  assert.is(await codeOf(client.upload({ ...blob, sizeBytes: 3_000_000 })), 'file-unreadable');
});

test('a download that is cut off goes on where it was, and is the same bytes', async ({ client, cutter, door }) => {
  const bytes = randomBytes(4_000_000);
  const sha256 = door.mesh.blobs.keep(bytes);
  cutter.cutDownAfter = 1_500_000;
  assert.ok((await gather(await client.readBlob(sha256))).equals(bytes));
  assert.is(cutter.cuts, 1);
});

test('a followed log misses nothing and doubles nothing when the line is cut', async ({
  client,
  cutter,
  door,
  abort,
}) => {
  const jobId = await door.submit();
  const lost = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 1, 'out', 'first half');
  const items: LogItem[] = [];
  let step = 0;
  for await (const item of client.followLog(jobId, 1, { stream: 'out' }, abort.signal)) {
    items.push(item);
    if (item.kind === 'log' && step === 0) {
      step = 1;
      cutter.cutNow();
      door.mesh.write(jobId, 1, 1, 'out', ', second half');
    } else if (item.kind === 'log' && step === 1) {
      step = 2;
      cutter.cutNow();
      door.mesh.lose(jobId, 1, lost);
      const fence = door.mesh.grant(jobId, 1);
      door.mesh.write(jobId, 1, 2, 'out', 'again');
      door.mesh.finish(jobId, 1, fence);
    }
  }
  const told = items.map((item) => (item.kind === 'log' ? Buffer.from(item.bytes).toString() : item.kind));
  assert.equal(told, ['attempt', 'first half', ', second half', 'attempt', 'again', 'end']);
  assert.is(cutter.cuts, 2);
});

test('a log that was cut off is not taken up in another attempt’s', async ({ client, cutter, door }) => {
  const jobId = await door.submit();
  const lost = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 1, 'out', 'one '.repeat(1_000_000));
  let read = '';
  const reading = async (): Promise<void> => {
    for await (const chunk of await client.readLog(jobId, 1, { stream: 'out' }, 0)) {
      if (read === '') {
        cutter.cutNow();
        door.mesh.lose(jobId, 1, lost);
        door.mesh.grant(jobId, 1);
        door.mesh.write(jobId, 1, 2, 'out', 'two '.repeat(1_000_000));
      }
      read += Buffer.from(chunk).toString();
    }
  };
  assert.is(await codeOf(reading()), 'transfer-failed');
  assert.not.match(read, /two/);
});

test('followed events go on over a cut and end with the job', async ({ client, cutter, door, abort }) => {
  const jobId = await door.submit();
  const types: string[] = [];
  for await (const event of client.events(jobId, abort.signal)) {
    types.push(event.type);
    if (types.length === 1) {
      cutter.cutNow();
      const fence = door.mesh.grant(jobId, 1);
      door.mesh.finish(jobId, 1, fence);
    }
  }
  assert.is(types.at(-1), 'job.done');
});

test('the key goes to no gateway whose certificate is not the pinned one', async ({ door }) => {
  const folder = await mkdtemp(join(tmpdir(), 'skein-tls-'));
  const beyond = { host: '0.0.0.0', tls: undefined, insecure: false };
  const made = await doorCertificate(folder, beyond);
  assert.ok(made);
  assert.is((await stat(join(folder, 'http-certificate.pem'))).mode & 0o777, 0o600);
  const kept = await doorCertificate(folder, beyond);
  assert.is(kept?.pin, made.pin);
  const log = { error: () => undefined, warn: () => undefined };
  const where = { host: '127.0.0.1', port: 0, version: '1', tls: { cert: made.cert, key: made.key } };
  const gateway = createGateway({ mesh: door.mesh, log, clock }, where);
  const url = await gateway.listen();
  const ask = async (pin: string | null) => {
    const client = new SkeinClient({ gateways: [{ url, pin }], key: ADMIN_KEY, clock });
    const code = await codeOf(client.whoami());
    client.close();
    return code;
  };
  try {
    assert.match(url, /^https:/);
    assert.is(await ask(made.pin ?? ''), 'none');
    assert.is(await ask('0'.repeat(64)), 'certificate-changed');
    assert.is(await ask(null), 'unreachable');
  } finally {
    await gateway.close();
    await rm(folder, { recursive: true });
  }
});

test('a door on loopback, or one told to be open, has no certificate; a given one is read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'skein-tls-'));
  const file = join(folder, 'given.pem');
  try {
    assert.is(await doorCertificate(folder, { host: '127.0.0.1', tls: undefined, insecure: false }), undefined);
    assert.is(await doorCertificate(folder, { host: '0.0.0.0', tls: undefined, insecure: true }), undefined);
    const given = { host: '127.0.0.1', tls: { certFile: file, keyFile: file }, insecure: false };
    assert.is(await codeOf(doorCertificate(folder, given)), 'file-missing');
    await writeFile(file, 'not a certificate');
    assert.is(await codeOf(doorCertificate(folder, given)), 'config-invalid');
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.run();
