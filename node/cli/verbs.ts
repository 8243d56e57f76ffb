// Every verb of the command line as data: its flags, what help says of it, and where its code lies. Code is loaded only
// for the verb that is called, so that the first line comes fast (UX.md 7.13).
import type { Command } from './call.ts';

export interface FlagSpec {
  /** In commander's form: `-d, --detach`, `--timeout <duration>`, `-e, --env <k=v...>`. */
  readonly form: string;
  readonly says: string;
  /** Among the dozen that `-h` shows. */
  readonly common?: true;
  /** Said several times, all count. */
  readonly many?: true;
}

export interface VerbSpec {
  readonly name: string;
  /** In commander's form: `<job...>`, `[path]`. */
  readonly args: string;
  readonly says: string;
  readonly flags: readonly FlagSpec[];
  /** Flags that a later release will have. */
  readonly later?: readonly string[];
  /** All after the first argument belongs to the script. */
  readonly passThrough?: true;
  readonly hidden?: true;
  readonly load: () => Promise<{ readonly command: Command }>;
}

export const GLOBAL: readonly FlagSpec[] = [
  { form: '--json', says: 'one JSON document on stdout, errors as JSON on stderr', common: true },
  { form: '-q, --quiet', says: 'no words of its own but errors', common: true },
  { form: '-v, --verbose', says: 'say more of what happens' },
  { form: '--no-color', says: 'no colours (also NO_COLOR)' },
  { form: '--no-input', says: 'never ask' },
  { form: '-y, --yes', says: 'answer every question with yes' },
  { form: '--mesh <name>', says: 'the mesh to speak to; local is the one on this machine' },
  { form: '--gateway <url>', says: 'https://HOST:PORT[#sha256=PIN], or http:// on loopback' },
  { form: '--key-file <file>', says: 'the key for that gateway' },
];

const job = (form: string, says: string, more: Partial<FlagSpec> = {}): FlagSpec => ({ form, says, ...more });
const common = { common: true } as const;
const many = { many: true } as const;

const PLACING: readonly FlagSpec[] = [
  job('--output-dir <dir>', 'where results go (default: here; of a batch: ./outputs/ITEM/)', common),
  job('--overwrite', 'replace local files that are not skein’s own'),
];
const FOLLOWING: readonly FlagSpec[] = [
  ...PLACING,
  job('--no-fetch', 'leave the results on the mesh'),
  job('--on-exit <what>', 'what Ctrl-C and TERM do: detach or cancel'),
  job('-f, --follow', 'show the lines of a batch as they come'),
  job('--progress <how>', 'auto, bar, plain or none'),
];

const RUN: readonly FlagSpec[] = [
  job('--batch <glob>', 'one task for each file', common),
  job('--lines <file>', 'one task for each line; - reads standard input'),
  job('-0, --null', '--lines are ended by NUL'),
  job('--range <a-b>', 'one task for each number'),
  job('--items <file>', 'one task for each item of a JSON array'),
  job('-e, --env <k=v>', 'a variable for the script', { ...many, ...common }),
  job('--env-file <file>', 'variables from a file', many),
  job('--needs <what>', 'cpu=2,mem=4g,disk=10g,gpu=1; cpu=all: the machine alone', common),
  job('--runtime <name>', 'what starts the script', common),
  job('--input <path>', 'a file or folder to take along', { ...many, ...common }),
  job('--no-scan', 'do not look for the script’s own modules'),
  ...FOLLOWING,
  job('--keep <duration>', 'how long the job is kept'),
  job('-d, --detach', 'do not wait', common),
  job('--timeout <duration>', 'stop each attempt after that', common),
  job('--retries <n>', 'run again after a failure, so many times', common),
  job('--retry-on <codes>', 'only after these exit codes'),
  job('--max-lost <n>', 'give up after so many lost machines'),
  job('--max-fails <n>', 'stop a batch after so many failed tasks'),
  job('--max-parallel <n>', 'tasks at once', common),
  job('--priority <n>', 'from -100 to 100'),
  job('--name <name>', 'a name for the job'),
  job('-l, --label <k=v>', 'a label', many),
  job('--stdin', 'read standard input to its end and give it to the script', common),
  job('-n, --dry-run', 'say what would be sent, and send nothing'),
  job('--idempotency-key <key>', 'the same key gives the same job'),
];
const RUN_LATER = [
  '--secret',
  '--start-within',
  '--image',
  '--requirements',
  '--shared',
  '--where',
  '--prefer',
  '--after',
  '--max-cost',
  '--notify',
];

/** @param http, listen as that verb has them: who joins is a worker, unless its ticket says more. */
const nodeFlags = (http: string, listen: string): readonly FlagSpec[] => [
  job('--data <dir>', 'the node’s folder', common),
  job('--http <host:port>', http, common),
  job('--listen <address>', listen, common),
  job('--announce <address>', 'what others shall dial', many),
  job('--roles <roles>', 'worker,gateway,voter or fewer', common),
  job('--slots <n>', 'tasks at once (default: cpus)', common),
  job('--name <name>', 'of this node (default: hostname)', common),
  job('--config <file>', 'instead of DIR/node.yaml'),
  job('--tls-cert <file>', 'certificate of the gateway'),
  job('--tls-key <file>', 'its key'),
  job('--insecure-http', 'no TLS beyond loopback'),
  job('--ready-fd <n>', 'write a line of JSON there once ready'),
  job('--drain-deadline <duration>', 'how long SIGTERM waits for running tasks (30s)'),
];
const NODE_LATER = ['--service'];

const WATCH = job('-w, --watch', 'go on showing');
const JOB_LIST: readonly FlagSpec[] = [
  job('--state <state>', 'queued, running, completed, failed or cancelled', common),
  job('-l, --label <k=v>', 'only with that label', common),
  job('--since <when>', 'a duration ago (2h), or a time', common),
  job('--limit <n>', 'at most so many (50)', common),
  job('--all', 'all of them'),
  job('--columns <names>', 'which columns, by comma'),
  WATCH,
];

export const VERBS: readonly VerbSpec[] = [
  {
    name: 'run',
    args: '[script] [args...]',
    says: 'run a script on the mesh as if it ran here',
    flags: RUN,
    later: RUN_LATER,
    passThrough: true,
    load: () => import('./commands/run.ts'),
  },
  { name: 'list', args: '', says: 'jobs, the latest first', flags: JOB_LIST, load: () => import('./commands/list.ts') },
  {
    name: 'status',
    args: '[job]',
    says: 'how a job stands',
    flags: [job('--check', 'exit 1 unless it completed', common), WATCH],
    load: () => import('./commands/status.ts'),
  },
  {
    name: 'explain',
    args: '[job]',
    says: 'why a job or task waits',
    flags: [],
    load: () => import('./commands/explain.ts'),
  },
  {
    name: 'events',
    args: '[job]',
    says: 'what happened',
    flags: [job('-f, --follow', 'go on showing'), job('--limit <n>', 'at most so many')],
    load: () => import('./commands/events.ts'),
  },
  {
    name: 'logs',
    args: '[job]',
    says: 'what a task wrote',
    flags: [
      job('-f, --follow', 'go on showing until it ends', common),
      job('--stream <which>', 'out, err or both', common),
      job('--tail <n>', 'only the last lines', common),
      job('--attempt <n>', 'a number, latest or all', common),
      job('--prefix', 'name the task before each line'),
    ],
    later: ['--since'],
    load: () => import('./commands/logs.ts'),
  },
  {
    name: 'attach',
    args: '[job]',
    says: 'follow a job as run does',
    flags: FOLLOWING,
    load: () => import('./commands/attach.ts'),
  },
  {
    name: 'wait',
    args: '[jobs...]',
    says: 'wait for jobs to end, and exit like them',
    flags: [
      job('--any', 'until one of them has ended', common),
      job('--timeout <duration>', 'at most so long', common),
    ],
    load: () => import('./commands/wait.ts'),
  },
  {
    name: 'outputs ls',
    args: '[job]',
    says: 'the files that a job left',
    flags: [job('--only <glob>', 'only these')],
    load: () => import('./commands/outputs-ls.ts'),
  },
  {
    name: 'outputs get',
    args: '[job] [path]',
    says: 'fetch them',
    flags: [
      ...PLACING,
      job('--only <glob>', 'only these'),
      job('--tar <file>', 'as one archive; - writes it to stdout'),
    ],
    load: () => import('./commands/outputs-get.ts'),
  },
  {
    name: 'download',
    args: '[job] [path]',
    says: 'as outputs get',
    flags: [...PLACING, job('--only <glob>', 'only these'), job('--tar <file>', 'as one archive')],
    hidden: true,
    load: () => import('./commands/outputs-get.ts'),
  },
  {
    name: 'outputs cat',
    args: '<job> <path>',
    says: 'one file to stdout',
    flags: [],
    load: () => import('./commands/outputs-cat.ts'),
  },
  {
    name: 'cancel',
    args: '[jobs...]',
    says: 'stop jobs or tasks, with all that they started',
    flags: [
      job('--reason <text>', 'kept with the job', common),
      job('--grace <duration>', 'from the request to stop to the kill (10s); of whole jobs', common),
    ],
    load: () => import('./commands/cancel.ts'),
  },
  {
    name: 'retry',
    args: '[job]',
    says: 'run failed tasks of a job again',
    flags: [
      job('--failed', 'the failed ones (default)'),
      job('--all', 'all of them', common),
      job('--task <n>', 'this one', many),
      job('-d, --detach', 'do not wait', common),
      ...FOLLOWING,
    ],
    later: ['--fresh'],
    load: () => import('./commands/retry.ts'),
  },
  {
    name: 'up',
    args: '',
    says: 'start a node of the mesh on this machine',
    flags: nodeFlags(
      'where the gateway listens (default 127.0.0.1:7070)',
      'where other members reach it (default 127.0.0.1:7071)',
    ),
    later: NODE_LATER,
    load: () => import('./commands/up.ts'),
  },
  {
    name: 'join',
    args: '[ticket]',
    says: 'start a node that joins a mesh',
    flags: nodeFlags(
      'where a gateway listens; a worker does not',
      'where other members reach it (default: port 7071 or the next free one)',
    ),
    later: NODE_LATER,
    load: () => import('./commands/join.ts'),
  },
  {
    name: 'ticket',
    args: '',
    says: 'let a machine join: prints a ticket',
    flags: [
      job('--roles <roles>', 'of who joins with it (worker)', common),
      job('--ttl <duration>', 'how long it is good (15m)', common),
      job('--uses <n>', 'how often (1)', common),
    ],
    load: () => import('./commands/ticket.ts'),
  },
  {
    name: 'down',
    args: '',
    says: 'stop this machine’s node',
    flags: [job('--data <dir>', 'of which node', common)],
    later: ['--leave'],
    load: () => import('./commands/down.ts'),
  },
  {
    name: 'peers',
    args: '',
    says: 'the machines of the mesh, from gossip',
    flags: [WATCH],
    load: () => import('./commands/peers.ts'),
  },
  {
    name: 'members',
    args: '',
    says: 'the members as the log has them',
    flags: [],
    load: () => import('./commands/members.ts'),
  },
  {
    name: 'drain',
    args: '<peer>',
    says: 'let a peer finish what it runs and take no more',
    flags: [],
    later: ['--deadline', '--watch'],
    load: () => import('./commands/drain.ts'),
  },
  {
    name: 'undrain',
    args: '<peer>',
    says: 'let it work again',
    flags: [],
    load: () => import('./commands/undrain.ts'),
  },
  {
    name: 'login',
    args: '[gateway]',
    says: 'keep a connection: a URL, a string of key create, or - to read it',
    flags: [job('--name <name>', 'under which to keep it')],
    load: () => import('./commands/login.ts'),
  },
  {
    name: 'key create',
    args: '<name>',
    says: 'a key for a person or program; prints one login string',
    flags: [job('--scope <scope>', 'submit, read or admin', common)],
    load: () => import('./commands/key-create.ts'),
  },
  { name: 'key list', args: '', says: 'the keys', flags: [], load: () => import('./commands/key-list.ts') },
  {
    name: 'key rotate',
    args: '[id]',
    says: 'replace a key (yours unless named)',
    flags: [],
    load: () => import('./commands/key-rotate.ts'),
  },
  { name: 'key revoke', args: '<id>', says: 'end a key', flags: [], load: () => import('./commands/key-revoke.ts') },
  {
    name: 'config get',
    args: '<key>',
    says: 'a setting in force',
    flags: [],
    load: () => import('./commands/config-get.ts'),
  },
  {
    name: 'config set',
    args: '<key> <value>',
    says: 'keep a setting for all runs',
    flags: [],
    load: () => import('./commands/config-set.ts'),
  },
  {
    name: 'config explain',
    args: '<key>',
    says: 'who says so',
    flags: [],
    load: () => import('./commands/config-explain.ts'),
  },
  {
    name: 'version',
    args: '',
    says: 'of this program and of the mesh',
    flags: [],
    load: () => import('./commands/version.ts'),
  },
];

/** Verbs of later releases, so that nobody takes them for a typing mistake. */
export const LATER_VERBS: readonly string[] = [
  'set',
  'pause',
  'resume',
  'exec',
  'note',
  'remove',
  'voters',
  'settings',
  'upgrade',
  'recover',
  'backup',
  'restore',
  'release',
  'runtimes',
  'gc',
  'audit',
  'servers',
  'limit',
  'cost',
  'secret',
  'init',
  'doctor',
  'dashboard',
  'top',
  'completion',
  'simulate',
  'bundle',
  'dev',
];
