// What every runtime promises, run on each implementation: the fake is believed because it passes the same suite.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttemptSpec, RunningAttempt, Runtime } from '../../../node/runtime/port.ts';

export interface Behaviour {
  /** How long it runs where nothing hinders it. */
  readonly runMs: number;
  readonly code: number;
  /** On SIGTERM it ends at once with this code; null ignores the signal. */
  readonly termCode: number | null;
  readonly timeoutMs: number | null;
}

export interface Machine {
  /** A daemon, recovered. The one before must have let go. */
  daemon(): Promise<{ readonly runtime: Runtime; readonly found: readonly RunningAttempt[] }>;
  spec(behaviour: Partial<Behaviour>): AttemptSpec;
  uptime(): number;
  /** Time passes until it holds; fails with `what` past a deadline. */
  until(what: string, holds: () => boolean): Promise<void>;
  close(): Promise<void>;
}

const LEASE_MS = 2000;
const LONG = 600_000;

export function runtimeContract(name: string, makeMachine: () => Promise<Machine>): void {
  const promise = (sentence: string, body: (machine: Machine) => Promise<void>): void => {
    test(`${name}: ${sentence}`, async () => {
      const machine = await makeMachine();
      try {
        await body(machine);
      } finally {
        await machine.close();
      }
    });
  };

  promise('an attempt that ends by itself says with which code', async (machine) => {
    const { runtime } = await machine.daemon();
    lend(machine, runtime, LONG);
    const ended = await end(machine, await runtime.start(machine.spec({ code: 7 })));
    assert.equal(ended.exit, { code: 7, signal: null });
    assert.is(ended.reason, 'exited');
    assert.ok(ended.endedAt >= ended.startedAt);
    await runtime.stop({ keep: false });
  });

  promise('nothing begins without a valid lease', async (machine) => {
    const { runtime } = await machine.daemon();
    const before = await end(machine, await runtime.start(machine.spec({})));
    runtime.extend({ untilMs: machine.uptime() + LEASE_MS * 0.1, leaseMs: LEASE_MS, fences: [] });
    const past = await end(machine, await runtime.start(machine.spec({})));
    assert.equal([before.reason, past.reason], ['killed', 'killed']);
    assert.equal([before.exit, past.exit], [NOTHING, NOTHING]);
    await runtime.stop({ keep: false });
  });

  promise('an attempt freezes at 0.8 of the lease and thaws only when it is listed', async (machine) => {
    const { runtime } = await machine.daemon();
    await runtime.startAhead(2);
    const untilMs = lend(machine, runtime, LEASE_MS);
    const attempt = await runtime.start(machine.spec({ runMs: 1000, code: 3 }));
    const kept = await runtime.start(machine.spec({ runMs: 20_000 }));
    runtime.extend({ untilMs: machine.uptime() + LEASE_MS * 0.3, leaseMs: LEASE_MS, fences: [] });
    await machine.until('both freeze', () => attempt.frozen && kept.frozen);
    assert.ok(machine.uptime() < untilMs, 'frozen before the first lease had lapsed');
    lend(machine, runtime, LONG, [attempt]);
    await machine.until('the listed one thaws', () => !attempt.frozen);
    assert.is((await end(machine, attempt)).exit.code, 3);
    assert.ok(kept.frozen, 'the other stays frozen');
    lend(machine, runtime, LONG, [kept]);
    await machine.until('listed too, it thaws', () => !kept.frozen);
    await runtime.stop({ keep: false });
  });

  promise('a frozen attempt does not end', async (machine) => {
    const { runtime } = await machine.daemon();
    lend(machine, runtime, LEASE_MS);
    const attempt = await runtime.start(machine.spec({ runMs: 2000 }));
    const seen = watch(attempt);
    await machine.until('it freezes', () => attempt.frozen);
    const frozenAt = machine.uptime();
    await machine.until('its run time passes', () => machine.uptime() > frozenAt + 1000);
    assert.not(seen.ended);
    lend(machine, runtime, LONG, [attempt]);
    assert.is((await end(machine, attempt)).reason, 'exited');
    await runtime.stop({ keep: false });
  });

  promise('leases extended in time never freeze an attempt', async (machine) => {
    const { runtime } = await machine.daemon();
    lend(machine, runtime, LEASE_MS * 2);
    const attempt = await runtime.start(machine.spec({ runMs: 900 }));
    let froze = false;
    let extendedAt = machine.uptime();
    const seen = watch(attempt);
    await machine.until('it ends', () => {
      froze ||= attempt.frozen;
      if (machine.uptime() > extendedAt + 50) {
        extendedAt = machine.uptime();
        lend(machine, runtime, LEASE_MS * 2);
      }
      return seen.ended;
    });
    assert.not(froze);
    await runtime.stop({ keep: false });
  });

  promise('a kill without grace ends it at once', async (machine) => {
    const { runtime } = await machine.daemon();
    lend(machine, runtime, LONG);
    const attempt = await runtime.start(machine.spec({ runMs: LONG, termCode: 5 }));
    attempt.kill(0);
    const ended = await end(machine, attempt);
    assert.is(ended.reason, 'killed');
    assert.equal(ended.exit, { code: null, signal: 'SIGKILL' });
    attempt.kill(0);
    await runtime.stop({ keep: false });
  });

  promise('within the grace a script ends as it likes, and past it by force', async (machine) => {
    const { runtime } = await machine.daemon();
    lend(machine, runtime, LONG);
    const polite = await runtime.start(machine.spec({ runMs: LONG, termCode: 5 }));
    const stubborn = await runtime.start(machine.spec({ runMs: LONG, termCode: null }));
    const begun = machine.uptime() + 500;
    await machine.until('both have set up their traps', () => machine.uptime() > begun);
    polite.kill(LONG);
    stubborn.kill(300);
    const ends = [await end(machine, polite), await end(machine, stubborn)];
    assert.equal(
      ends.map(({ exit, reason }) => ({ ...exit, reason })),
      [
        { code: 5, signal: null, reason: 'killed' },
        { code: null, signal: 'SIGKILL', reason: 'killed' },
      ],
    );
    await runtime.stop({ keep: false });
  });

  promise('a frozen attempt that is to be killed gets no grace', async (machine) => {
    const { runtime } = await machine.daemon();
    lend(machine, runtime, LEASE_MS);
    const attempt = await runtime.start(machine.spec({ runMs: LONG, termCode: 5 }));
    await machine.until('it freezes', () => attempt.frozen);
    attempt.kill(LONG);
    assert.equal((await end(machine, attempt)).exit, { code: null, signal: 'SIGKILL' });
    assert.not(attempt.frozen);
    await runtime.stop({ keep: false });
  });

  promise('a timeout kills, and time spent frozen does not count for it', async (machine) => {
    const { runtime } = await machine.daemon();
    lend(machine, runtime, LEASE_MS);
    const attempt = await runtime.start(machine.spec({ runMs: LONG, timeoutMs: 2200 }));
    const seen = watch(attempt);
    await machine.until('it freezes', () => attempt.frozen);
    const frozenAt = machine.uptime();
    await machine.until('more than its timeout passes', () => machine.uptime() > frozenAt + 2500);
    assert.not(seen.ended);
    const thawedAt = machine.uptime();
    lend(machine, runtime, LONG, [attempt]);
    const ended = await end(machine, attempt);
    assert.is(ended.reason, 'timeout');
    assert.ok(machine.uptime() - thawedAt > 400, 'what it had left of its time it got');
    await runtime.stop({ keep: false });
  });

  promise('the next daemon finds what runs, and hears how it ends', async (machine) => {
    const first = await machine.daemon();
    lend(machine, first.runtime, LONG);
    const spec = machine.spec({ runMs: 1500, code: 9 });
    await first.runtime.start(spec);
    await first.runtime.stop({ keep: true });
    const { runtime, found } = await machine.daemon();
    assert.equal(
      found.map(({ fence, folder }) => ({ fence, folder })),
      [{ fence: spec.fence, folder: spec.folder }],
    );
    const [attempt] = found;
    assert.is(attempt && (await end(machine, attempt)).exit.code, 9);
    await runtime.stop({ keep: false });
  });

  promise('the next daemon hears of what ended in between', async (machine) => {
    const first = await machine.daemon();
    lend(machine, first.runtime, LONG);
    const spec = machine.spec({ runMs: 300, code: 4 });
    await first.runtime.start(spec);
    await first.runtime.stop({ keep: true });
    const leftAt = machine.uptime();
    await machine.until('its time passes', () => machine.uptime() > leftAt + 1500);
    const { runtime, found } = await machine.daemon();
    assert.equal(
      found.map(({ fence }) => fence),
      [spec.fence],
    );
    const [attempt] = found;
    assert.is(attempt && (await end(machine, attempt)).exit.code, 4);
    await runtime.stop({ keep: false });
  });

  promise('a stop that keeps nothing kills all', async (machine) => {
    const { runtime } = await machine.daemon();
    lend(machine, runtime, LONG);
    const attempts = [
      await runtime.start(machine.spec({ runMs: LONG })),
      await runtime.start(machine.spec({ runMs: LONG })),
    ];
    await runtime.stop({ keep: false });
    for (const attempt of attempts) assert.is((await end(machine, attempt)).reason, 'killed');
  });
}

const NOTHING = { code: null, signal: null };

function lend(machine: Machine, runtime: Runtime, leaseMs: number, attempts: readonly RunningAttempt[] = []): number {
  const untilMs = machine.uptime() + leaseMs;
  runtime.extend({ untilMs, leaseMs, fences: attempts.map(({ fence }) => fence) });
  return untilMs;
}

function watch(attempt: RunningAttempt): { ended: boolean } {
  const seen = { ended: false };
  void attempt.ended.then(() => {
    seen.ended = true;
  });
  return seen;
}

async function end(machine: Machine, attempt: RunningAttempt) {
  const seen = watch(attempt);
  await machine.until('the attempt ends', () => seen.ended);
  return attempt.ended;
}
