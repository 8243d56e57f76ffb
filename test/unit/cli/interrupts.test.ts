import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Interruption, Interrupts } from '../../../node/cli/run/interrupts.ts';
import type { SignalName } from '../../../node/cli/world.ts';
import { ManualClock } from '../../support/manual-clock.ts';

interface Setup {
  readonly isTerminal?: boolean;
  readonly isLocal?: boolean;
  readonly onExit?: 'detach' | 'cancel';
}

function setup({ isTerminal = true, isLocal = false, onExit }: Setup) {
  const clock = new ManualClock();
  const actions: Interruption[] = [];
  let asked = 0;
  const interrupts = new Interrupts(clock, {
    isTerminal,
    isLocal,
    onExit,
    onFirst: () => {
      asked += 1;
    },
    onAction: (what) => actions.push(what),
  });
  return { clock, interrupts, actions, asked: () => asked };
}

test('before the job is there a signal abandons all', () => {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const { interrupts, actions } = setup({});
    interrupts.on(name);
    interrupts.on(name);
    assert.equal(actions, ['abandon']);
  }
});

test('on a terminal the first Ctrl-C asks and detaches after a second', async () => {
  const { clock, interrupts, actions, asked } = setup({});
  interrupts.submitted();
  interrupts.on('SIGINT');
  assert.equal([actions, asked()], [[], 1]);
  await clock.advance(999);
  assert.equal(actions, []);
  await clock.advance(2);
  assert.equal(actions, ['detach']);
  interrupts.on('SIGINT');
  assert.equal(actions, ['detach']);
});

test('a second Ctrl-C within the second cancels, a third waits no more', async () => {
  const { clock, interrupts, actions } = setup({});
  interrupts.submitted();
  interrupts.on('SIGINT');
  await clock.advance(500);
  interrupts.on('SIGINT');
  await clock.advance(5000);
  assert.equal(actions, ['cancel']);
  interrupts.on('SIGINT');
  assert.equal(actions, ['cancel', 'kill']);
});

test('each case does what the contract says at the first signal', () => {
  const cases: readonly (readonly [Setup, SignalName, Interruption])[] = [
    [{ isTerminal: false }, 'SIGINT', 'cancel'],
    [{ isTerminal: false }, 'SIGTERM', 'cancel'],
    [{ isTerminal: false }, 'SIGHUP', 'detach'],
    [{ isTerminal: true }, 'SIGHUP', 'detach'],
    [{ isTerminal: true, isLocal: true }, 'SIGINT', 'cancel'],
    [{ isTerminal: false, isLocal: true }, 'SIGTERM', 'cancel'],
    [{ isTerminal: true, onExit: 'cancel' }, 'SIGINT', 'cancel'],
    [{ isTerminal: false, onExit: 'detach' }, 'SIGTERM', 'detach'],
    [{ isLocal: true, onExit: 'detach' }, 'SIGINT', 'detach'],
  ];
  for (const [options, signal, action] of cases) {
    const { interrupts, actions } = setup(options);
    interrupts.submitted();
    interrupts.on(signal);
    assert.equal(actions, [action], JSON.stringify([options, signal]));
  }
});

test('after the end a signal does nothing', async () => {
  const { clock, interrupts, actions } = setup({});
  interrupts.submitted();
  interrupts.on('SIGINT');
  interrupts.stop();
  await clock.advance(5000);
  interrupts.on('SIGINT');
  assert.equal(actions, []);
});

test.run();
