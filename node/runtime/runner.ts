// The runner: a small program that runs one attempt after the other and outlives the daemon that started it.
// It is the first process of its attempts' namespace where there is one, so that the kernel ends everything with it.
// It imports almost nothing: a small process spawns in about a millisecond.
import { createServer, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { realClock } from '../clock.ts';
import { Attempt } from './attempt.ts';
import { makeStarter } from './starter.ts';
import {
  type ExitRecord,
  encodeLine,
  type FromRunner,
  LineReader,
  parseMessage,
  RUNNER_VERSION,
  type ToRunner,
} from './wire.ts';

const { values } = parseArgs({
  options: {
    /** Folder of the sockets, absolute; becomes the current one, so that a long path still makes a short name. */
    'runner-home': { type: 'string', default: '.' },
    /** Name of the socket in it. */
    socket: { type: 'string', default: '' },
    containment: { type: 'string', default: 'process-group' },
    /** Without a daemon an attempt is killed after this time, */
    'away-ms': { type: 'string', default: '600000' },
    /** an idle runner ends after this, */
    'idle-ms': { type: 'string', default: '5000' },
    /** and one that is frozen is killed after this, daemon or not. */
    'frozen-ms': { type: 'string', default: '86400000' },
  },
});

const clock = realClock();
const containment = values.containment === 'pid-namespace' ? 'pid-namespace' : 'process-group';
const starter = makeStarter();
let daemon: Socket | undefined;
let attempt: Attempt | undefined;
/** An end that is not on disk and that no daemon has heard. */
let unheard: ExitRecord | null = null;
let leaving = false;
let alone: NodeJS.Timeout | undefined;

function say(message: FromRunner): void {
  daemon?.write(encodeLine(message));
}

/** Whoever attaches last is the daemon; the one before is cut off and obeyed no more. */
function attach(socket: Socket): void {
  // Before the new daemon is one: what a lease that ran out meanwhile demands is in the state, which is its first line.
  attempt?.check();
  const before = daemon;
  daemon = socket;
  before?.end(encodeLine({ kind: 'replaced' }));
  clearTimeout(alone);
  listen(socket);
  say({ kind: 'state', version: RUNNER_VERSION, running: attempt?.record ?? null, ended: unheard });
  unheard = null;
}

function listen(socket: Socket): void {
  const lines = new LineReader();
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    attempt?.check();
    try {
      for (const line of lines.push(chunk)) {
        const message = parseMessage<ToRunner>(line);
        if (message !== undefined && socket === daemon) obey(message);
      }
    } catch (error) {
      console.error('the daemon sends what no daemon sends:', error);
      socket.destroy();
    }
  });
  // A broken connection is a closed one: 'close' follows.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    if (socket !== daemon) return;
    daemon = undefined;
    waitAlone();
  });
}

function obey(message: ToRunner): void {
  switch (message.kind) {
    case 'start':
      if (attempt === undefined && !leaving) start(message);
      return;
    case 'extend':
      attempt?.extend(message.lease, message.listed);
      say({ kind: 'alive' });
      return;
    case 'kill':
      attempt?.kill(message.graceMs, message.signal);
      return;
    case 'leave':
      leaving = true;
      if (attempt === undefined) leave();
      else attempt.kill(0);
      return;
    default:
      console.error('a message of a kind that is not known here');
  }
}

function start({ spec, marker, lease }: Extract<ToRunner, { kind: 'start' }>): void {
  const events = {
    onFrozen: (frozen: boolean) => say({ kind: 'frozen', frozen }),
    onEnded(record: ExitRecord, end: { readonly saved: boolean; readonly spent: boolean }): void {
      attempt = undefined;
      if (daemon === undefined && !end.saved) unheard = record;
      say({ kind: 'ended', record, spent: end.spent });
      if (leaving) leave();
      else if (daemon === undefined) waitAlone();
    },
  };
  const frozenMaxMs = Number(values['frozen-ms']);
  attempt = new Attempt({ clock, starter, events }, { spec, marker, lease, containment, frozenMaxMs });
  attempt.begin();
}

/** What happens while no daemon is attached. */
function waitAlone(): void {
  clearTimeout(alone);
  const awayMs = Number(values['away-ms']);
  if (attempt !== undefined) {
    const cause = { reason: 'killed' as const, detail: 'The node that ran it stayed away.' };
    alone = setTimeout(() => attempt?.end(cause), awayMs);
    return;
  }
  alone = setTimeout(leave, unheard === null ? Number(values['idle-ms']) : awayMs);
}

function leave(): void {
  server.close();
  if (daemon === undefined) process.exit(0);
  daemon.end(() => process.exit(0));
}

process.chdir(values['runner-home']);
const server = createServer(attach);
server.listen(values.socket, () => {
  // The daemon waits for this line before it connects.
  process.stdout.write('ready\n');
  waitAlone();
});
