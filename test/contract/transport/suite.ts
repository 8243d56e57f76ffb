// What every transport must do: one suite, run on each implementation.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { realClock, realRandom } from '../../../node/clock.ts';
import { makePeerKey, type PeerKey } from '../../../node/identity/identity.ts';
import type { Admission, CallOptions, Channel, Topic, Transport } from '../../../node/transport/port.ts';
import { type ErrorCode, SkeinError } from '../../../protocol/errors.ts';
import type { EpochId, MeshId, PeerId } from '../../../protocol/ids.ts';
import { sealEnvelope } from '../../../protocol/wire/envelope.ts';

const meshId = 'ab'.repeat(16) as MeshId;
const epochId = 'cd'.repeat(16) as EpochId;
const clock = realClock();
const soon: CallOptions = { timeoutMs: 3000 };
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const read = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

export interface MakeOptions {
  readonly key: PeerKey;
  readonly admission: Admission;
  readonly meshId: MeshId;
  readonly dialOutOnly: boolean;
  /** Where it listened before, so that it comes back there. */
  readonly listen?: string;
}
/** Not started yet. */
export type MakeTransport = (options: MakeOptions) => Transport;

/** The member list in force, the same for all nodes of a test. */
class Roster {
  readonly members = new Set<PeerId>();
  readonly gateways = new Set<PeerId>();
  readonly observers = new Set<PeerId>();
  open = false;
  readonly admission: Admission = {
    isMember: (peer) => this.members.has(peer),
    isGateway: (peer) => this.gateways.has(peer),
    isObserver: (peer) => this.observers.has(peer),
    joinable: () => this.open,
  };
}

interface Heard {
  readonly from: PeerId;
  readonly body: string;
}

class Bed {
  readonly roster = new Roster();
  readonly #make: MakeTransport;
  readonly #started: Transport[] = [];
  #sequence = 0;

  constructor(make: MakeTransport) {
    this.#make = make;
  }

  async node(as: 'member' | 'gateway' | 'observer' | 'stranger', options: Partial<MakeOptions> = {}) {
    const key = options.key ?? (await makePeerKey(realRandom()));
    if (as === 'member' || as === 'gateway') this.roster.members.add(key.peerId);
    if (as === 'gateway') this.roster.gateways.add(key.peerId);
    if (as === 'observer') this.roster.observers.add(key.peerId);
    const transport = this.#make({ key, admission: this.roster.admission, meshId, dialOutOnly: false, ...options });
    const heard: Heard[] = [];
    for (const topic of ['heartbeats', 'window'] as const)
      transport.subscribe(topic, (from, message) => heard.push({ from, body: bodyOf(message) }));
    await transport.start();
    this.#started.push(transport);
    const say = (body: string) => transport.publish('heartbeats', this.envelope(key, body));
    return { transport, key, self: transport.self, heard, say };
  }

  envelope(key: PeerKey, body: string, topic: Topic = 'heartbeats'): Uint8Array {
    const sequence = ++this.#sequence;
    return sealEnvelope({ meshId, epochId, topic, incarnation: 1, sequence, body: text(body) }, key.signer);
  }

  async close(): Promise<void> {
    await Promise.all(this.#started.map((transport) => transport.stop()));
  }
}

// The body stands between the header and the signature; the tests' bodies are marked, so no second decoder is needed.
const bodyOf = (message: Uint8Array): string => /\[([a-z]+)\]/.exec(read(message))?.[1] ?? '';

async function until(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = 10_000): Promise<void> {
  const end = clock.monotonic() + deadlineMs;
  while (!(await condition())) {
    if (clock.monotonic() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await clock.sleep(10);
  }
}

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | 'none'> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    if (error instanceof SkeinError) return error.code;
    throw error;
  }
}

const echo = async (_: PeerId, body: Uint8Array): Promise<Uint8Array> => body;

export function transportSuite(name: string, make: MakeTransport): void {
  const it = (title: string, body: (bed: Bed) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const bed = new Bed(make);
      try {
        await body(bed);
      } finally {
        await bed.close();
      }
    });
  };

  /** A gateway and a member that are connected, with `work/echo` at both. */
  const pair = async (bed: Bed, memberOptions: Partial<MakeOptions> = {}) => {
    const gateway = await bed.node('gateway');
    const member = await bed.node('member', memberOptions);
    for (const { transport } of [gateway, member]) transport.handle('work', 'echo', echo);
    member.transport.keep(gateway.self, gateway.transport.addresses());
    gateway.transport.keep(member.self, member.transport.addresses());
    await until('both are connected', () => isLinked(gateway.transport, member.transport));
    return { gateway, member };
  };
  const isLinked = (a: Transport, b: Transport): boolean =>
    a.connected().includes(b.self) && b.connected().includes(a.self);

  it('a call reaches its handler with the caller proven, and its answer comes back', async (bed) => {
    const { gateway, member } = await pair(bed);
    gateway.transport.handle('work', 'who', async (from, body) => text(`${from} ${read(body)}`));
    assert.is(read(await member.transport.call(gateway.self, 'work', 'who', text('x'), soon)), `${member.self} x`);
  });

  it('a call to oneself is looped back, with the same refusals', async (bed) => {
    const { transport, self } = await bed.node('member');
    transport.handle('work', 'echo', echo);
    assert.is(read(await transport.call(self, 'work', 'echo', text('me'), soon)), 'me');
    assert.is(await codeOf(transport.call(self, 'work', 'nothing', text(''), soon)), 'not-found');
  });

  it('a thrown SkeinError arrives with its code, words, fix and extras; a bug as internal-error without its text', async (bed) => {
    const { gateway, member } = await pair(bed);
    gateway.transport.handle('blob', 'coded', async () => {
      throw new SkeinError('bad-offset', 'it continues elsewhere', {
        fix: 'go there',
        extra: { offset: 7 },
        retryAfterMs: 5,
      });
    });
    gateway.transport.handle('blob', 'bug', async () => {
      throw new Error('/secret/path');
    });
    const coded = await member.transport
      .call(gateway.self, 'blob', 'coded', text(''), soon)
      .catch((error: unknown) => error);
    assert.instance(coded, SkeinError);
    const { code, message, fix, extra, retryAfterMs } = coded as SkeinError;
    assert.equal(
      { code, message, fix, extra, retryAfterMs },
      { code: 'bad-offset', message: 'it continues elsewhere', fix: 'go there', extra: { offset: 7 }, retryAfterMs: 5 },
    );
    const bug = await member.transport
      .call(gateway.self, 'blob', 'bug', text(''), soon)
      .catch((error: unknown) => error);
    assert.is((bug as SkeinError).code, 'internal-error');
    assert.not.match((bug as SkeinError).message, 'secret');
  });

  it('a call without an answer fails at its deadline, and one that is aborted at once', async (bed) => {
    const { gateway, member } = await pair(bed);
    gateway.transport.handle('work', 'never', () => new Promise(() => {}));
    const startedAt = clock.monotonic();
    assert.is(
      await codeOf(member.transport.call(gateway.self, 'work', 'never', text(''), { timeoutMs: 150 })),
      'no-answer',
    );
    assert.ok(clock.monotonic() - startedAt >= 149);
    const stop = new AbortController();
    const aborted = member.transport.call(gateway.self, 'work', 'never', text(''), {
      timeoutMs: 60_000,
      signal: stop.signal,
    });
    stop.abort(new Error('enough'));
    assert.is(await aborted.catch((error: unknown) => (error as Error).message), 'enough');
  });

  it('1,000 calls at once are all answered, each with its own', async (bed) => {
    const { gateway, member } = await pair(bed);
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, n) =>
        member.transport.call(gateway.self, 'work', 'echo', text(String(n)), soon),
      ),
    );
    assert.equal(
      answers.map(read),
      Array.from({ length: 1000 }, (_, n) => String(n)),
    );
  });

  it('more than 1,024 unanswered calls to a peer are refused', async (bed) => {
    const { gateway, member } = await pair(bed);
    gateway.transport.handle('work', 'never', () => new Promise(() => {}));
    const stop = new AbortController();
    const options = { timeoutMs: 60_000, signal: stop.signal };
    const held = Array.from({ length: 1024 }, () =>
      member.transport.call(gateway.self, 'work', 'never', text(''), options),
    );
    const settled = Promise.allSettled(held);
    assert.is(await codeOf(member.transport.call(gateway.self, 'work', 'echo', text(''), soon)), 'too-many-requests');
    stop.abort();
    await settled;
    assert.is(await codeOf(member.transport.call(gateway.self, 'work', 'echo', text(''), soon)), 'none');
  });

  it('bodies of 1 MiB pass both ways, larger ones are refused on either side', async (bed) => {
    const { gateway, member } = await pair(bed);
    gateway.transport.handle('blob', 'grow', async (_, body) => new Uint8Array(body.length + 1));
    const full = new Uint8Array(1_048_576).fill(7);
    assert.equal(await member.transport.call(gateway.self, 'work', 'echo', full, { timeoutMs: 10_000 }), full);
    assert.is(
      await codeOf(member.transport.call(gateway.self, 'work', 'echo', new Uint8Array(1_048_577), soon)),
      'too-large',
    );
    assert.is(await codeOf(member.transport.call(gateway.self, 'blob', 'grow', full, soon)), 'too-large');
  });

  it('bulk in flight on one channel does not hold up a small call on another', async (bed) => {
    const { gateway, member } = await pair(bed);
    gateway.transport.handle('blob', 'chunk', async () => new Uint8Array(262_144));
    let chunks = 0;
    const stop = new AbortController();
    const pull = async () => {
      while (!stop.signal.aborted) {
        const chunk = await member.transport.call(gateway.self, 'blob', 'chunk', text(''), { timeoutMs: 10_000 });
        if (chunk.length === 262_144) chunks++;
      }
    };
    const pulls = Array.from({ length: 4 }, pull);
    await until('the transfer runs', () => chunks > 8);
    assert.is(
      read(await member.transport.call(gateway.self, 'work', 'echo', text('quick'), { timeoutMs: 1000 })),
      'quick',
    );
    stop.abort();
    await Promise.all(pulls);
  });

  it('a worker that only dials out gets calls over its own connection', async (bed) => {
    const { gateway, member } = await pair(bed, { dialOutOnly: true });
    assert.equal(member.transport.addresses(), []);
    assert.is(read(await gateway.transport.call(member.self, 'work', 'echo', text('down'), soon)), 'down');
  });

  it('gossip of members arrives with its sender, own messages included, and crosses a node in the middle', async (bed) => {
    const { gateway, member } = await pair(bed, { dialOutOnly: true });
    const far = await bed.node('member', { dialOutOnly: true });
    far.transport.keep(gateway.self, gateway.transport.addresses());
    await until('far hears member', async () => {
      await member.say('[near]');
      return far.heard.some(({ from, body }) => from === member.self && body === 'near');
    });
    assert.ok(member.heard.some(({ from }) => from === member.self));
    assert.ok(gateway.heard.some(({ from }) => from === member.self));
  });

  it('a stranger neither hears gossip nor is heard, even while a ticket is open', async (bed) => {
    const { gateway, member } = await pair(bed);
    bed.roster.open = true;
    const stranger = await bed.node('stranger');
    // The stranger believes itself and everyone to be members: its own side refuses nothing.
    const believing = await bed.node('stranger', {
      admission: { isMember: () => true, isGateway: () => true, isObserver: () => false, joinable: () => true },
    });
    for (const { transport } of [stranger, believing])
      await transport.dial(gateway.transport.addresses()[0] ?? '', soon);
    await until('members hear each other', async () => {
      await gateway.say('[inside]');
      await stranger.say('[outside]');
      await believing.say('[outside]');
      await clock.sleep(50);
      return member.heard.filter(({ body }) => body === 'inside').length >= 10;
    });
    const outside = [...gateway.heard, ...member.heard].filter(({ body }) => body === 'outside');
    const inside = [...stranger.heard, ...believing.heard].filter(({ body }) => body === 'inside');
    assert.equal(outside, []);
    assert.equal(inside, []);
  });

  it('what a member signs for another mesh or topic, or another signs for it, is not heard', async (bed) => {
    const { gateway, member } = await pair(bed);
    const other = await makePeerKey(realRandom());
    const stolen = { self: member.self, sign: (bytes: Uint8Array) => other.signer.sign(bytes) };
    let sequence = 1000;
    await until('gossip flows', async () => {
      // New ones each time: what was published before anyone listened is never sent again.
      const content = { meshId, epochId, incarnation: 1, sequence: sequence++, body: text('[bad]') };
      await member.transport.publish(
        'heartbeats',
        sealEnvelope({ ...content, meshId: 'ef'.repeat(16) as MeshId, topic: 'heartbeats' }, member.key.signer),
      );
      await member.transport.publish('heartbeats', sealEnvelope({ ...content, topic: 'window' }, member.key.signer));
      await member.transport.publish('heartbeats', sealEnvelope({ ...content, topic: 'heartbeats' }, stolen));
      await member.transport.publish('heartbeats', sealEnvelope({ ...content, topic: 'heartbeats' }, other.signer));
      await member.transport.publish('heartbeats', text(`[bad] ${sequence}`));
      await member.say('[good]');
      return gateway.heard.filter(({ body }) => body === 'good').length >= 5;
    });
    assert.equal(
      gateway.heard.filter(({ body }) => body !== 'good'),
      [],
    );
  });

  it('what a leader says is heard from gateways alone', async (bed) => {
    const { gateway, member } = await pair(bed);
    const far = await bed.node('member', { dialOutOnly: true });
    far.transport.keep(gateway.self, gateway.transport.addresses());
    const announce = ({ transport, key }: typeof member, body: string) =>
      transport.publish('window', bed.envelope(key, body, 'window'));
    await until('far hears the gateway', async () => {
      await announce(member, '[forged]');
      await member.say('[beat]');
      await announce(gateway, '[leader]');
      const seen = new Set(far.heard.map(({ body }) => body));
      return seen.has('leader') && seen.has('beat');
    });
    assert.not([...gateway.heard, ...far.heard].some(({ body }) => body === 'forged'));
  });

  it('a stranger is refused on every channel but join, and there only while a ticket is open', async (bed) => {
    const { gateway } = await pair(bed);
    for (const channel of ['join', 'work', 'blob', 'raft'] as const) gateway.transport.handle(channel, 'echo', echo);
    const address = gateway.transport.addresses()[0] ?? '';
    const stranger = await bed.node('stranger', { dialOutOnly: true });
    assert.is(await codeOf(stranger.transport.dial(address, soon)), 'unreachable');
    bed.roster.open = true;
    await stranger.transport.dial(address, soon);
    const ask = (channel: Channel) => codeOf(stranger.transport.call(gateway.self, channel, 'echo', text(''), soon));
    assert.equal(
      [await ask('join'), await ask('work'), await ask('blob'), await ask('raft')],
      ['none', 'forbidden', 'forbidden', 'forbidden'],
    );
    bed.roster.open = false;
    await until('it is cut off', async () => (await ask('join')) === 'unreachable');
  });

  it('only gateways are answered on raft', async (bed) => {
    const { gateway, member } = await pair(bed);
    for (const { transport } of [gateway, member]) transport.handle('raft', 'echo', echo);
    assert.is(await codeOf(member.transport.call(gateway.self, 'raft', 'echo', text(''), soon)), 'forbidden');
    assert.is(await codeOf(gateway.transport.call(member.self, 'raft', 'echo', text(''), soon)), 'none');
  });

  it('an observer hears gossip and can do nothing else', async (bed) => {
    const { gateway, member } = await pair(bed);
    const observer = await bed.node('observer', { dialOutOnly: true });
    assert.is(await observer.transport.dial(gateway.transport.addresses()[0] ?? '', soon), gateway.self);
    await until('the observer hears both', async () => {
      await gateway.say('[a]');
      await member.say('[b]');
      await observer.say('[c]');
      return [gateway.self, member.self].every((peer) => observer.heard.some(({ from }) => from === peer));
    });
    assert.not(gateway.heard.some(({ from }) => from === observer.self));
    assert.is(await codeOf(observer.transport.call(gateway.self, 'work', 'echo', text(''), soon)), 'forbidden');
    bed.roster.open = true;
    assert.is(await codeOf(observer.transport.call(gateway.self, 'join', 'hello', text(''), soon)), 'forbidden');
    assert.not(gateway.transport.connected().includes(observer.self));
  });

  it('a removed member is out at once: refused, unheard, and soon disconnected', async (bed) => {
    const { gateway, member } = await pair(bed);
    assert.is(await codeOf(member.transport.call(gateway.self, 'work', 'echo', text(''), soon)), 'none');
    const removed = {
      ...bed.roster.admission,
      isMember: (peer: PeerId) => peer !== member.self && bed.roster.members.has(peer),
    };
    Object.assign(bed.roster.admission, removed);
    // Refused, or disconnected already: whichever comes first.
    const refusal = await codeOf(member.transport.call(gateway.self, 'work', 'echo', text(''), soon));
    assert.ok(['forbidden', 'unreachable'].includes(refusal), refusal);
    await member.say('[late]');
    await until('it is disconnected', () => !gateway.transport.connected().includes(member.self), 1000);
    assert.is(await codeOf(gateway.transport.call(member.self, 'work', 'echo', text(''), soon)), 'unreachable');
    assert.equal(
      gateway.heard.filter(({ from }) => from === member.self),
      [],
    );
  });

  it('a joiner becomes a peer when the member list names it, over the connection it has', async (bed) => {
    const gateway = await bed.node('gateway');
    bed.roster.open = true;
    const seen: string[] = [];
    gateway.transport.onConnection((peer, up) => seen.push(`${peer} ${up}`));
    gateway.transport.handle('join', 'redeem', async (from) => {
      bed.roster.members.add(from);
      return text('welcome');
    });
    const joiner = await bed.node('stranger', { dialOutOnly: true });
    await joiner.transport.dial(gateway.transport.addresses()[0] ?? '', soon);
    assert.equal(seen, []);
    // Long enough for its gossip stream to open and find it a stranger.
    await clock.sleep(300);
    assert.is(read(await joiner.transport.call(gateway.self, 'join', 'redeem', text(''), soon)), 'welcome');
    bed.roster.open = false;
    await until('it is announced', () => seen.includes(`${joiner.self} true`));
    joiner.transport.handle('work', 'echo', echo);
    assert.is(await codeOf(gateway.transport.call(joiner.self, 'work', 'echo', text(''), soon)), 'none');
    await until('it hears gossip', async () => {
      await gateway.say('[hello]');
      return joiner.heard.some(({ body }) => body === 'hello');
    });
  });

  it('calls fail at once when the peer goes, and it is found again where it was', async (bed) => {
    const { gateway, member } = await pair(bed);
    gateway.transport.handle('work', 'never', () => new Promise(() => {}));
    const listen = gateway.transport.addresses()[0] ?? '';
    const waiting = codeOf(member.transport.call(gateway.self, 'work', 'never', text(''), { timeoutMs: 60_000 }));
    await clock.sleep(50);
    await gateway.transport.stop();
    assert.is(await waiting, 'unreachable');
    assert.is(await codeOf(member.transport.call(gateway.self, 'work', 'echo', text(''), soon)), 'unreachable');
    const again = await bed.node('gateway', { key: gateway.key, listen });
    again.transport.handle('work', 'echo', echo);
    await until(
      'it answers again',
      async () => (await codeOf(member.transport.call(again.self, 'work', 'echo', text(''), soon))) === 'none',
    );
    await until('it is heard again', async () => {
      await again.say('[back]');
      return member.heard.some(({ body }) => body === 'back');
    });
  });

  it('reconnect drops the connection and makes another', async (bed) => {
    const { gateway, member } = await pair(bed);
    const events: boolean[] = [];
    member.transport.onConnection((peer, up) => peer === gateway.self && events.push(up));
    await member.transport.reconnect(gateway.self);
    await until('down and up again', () => events.includes(false) && events.at(-1) === true);
    await until(
      'calls pass',
      async () => (await codeOf(member.transport.call(gateway.self, 'work', 'echo', text(''), soon))) === 'none',
    );
  });

  it('a released peer is not dialled again', async (bed) => {
    const { gateway, member } = await pair(bed);
    member.transport.release(gateway.self);
    gateway.transport.release(member.self);
    await member.transport.reconnect(gateway.self);
    await until('they are apart', () => member.transport.connected().length === 0);
    await clock.sleep(1500);
    assert.equal(member.transport.connected(), []);
  });

  it('an address where nothing answers is unreachable, within the time given', async (bed) => {
    const gone = await bed.node('gateway');
    const address = gone.transport.addresses()[0] ?? '';
    await gone.transport.stop();
    const member = await bed.node('member');
    const startedAt = clock.monotonic();
    assert.is(await codeOf(member.transport.dial(address, { timeoutMs: 2000 })), 'unreachable');
    assert.ok(clock.monotonic() - startedAt < 2500);
  });
}
