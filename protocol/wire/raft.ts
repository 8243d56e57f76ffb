// What voters say to each other: requests `step` on channel `raft`. One body carries one or more messages, in order; it is
// answered with an empty one, as every answer of Raft is a message of its own. What passes here, `Raft.step` takes.
import { Type } from 'typebox';
import { SkeinError } from '../errors.ts';
import { entryText } from '../raft/entry-text.ts';
import { COUNT_MAX, type Configuration, type Entry, type Message } from '../raft/message.ts';
import { bodyMaxBytes, type Codec, codec, utf8 } from './codec.ts';
import { CommandShape } from './command.ts';
import { closed, EpochIdShape } from './shapes.ts';

export const raftMethods = { step: 'step' } as const;

/** The largest command that may be proposed, as JSON. */
export const commandMaxBytes = 700 * 1024;
/** All that surrounds the commands of one append: its own fields, those of entries, commas, a whole configuration. */
const headersMaxBytes = 16 * 1024;
/** An append takes entries until their texts reach this; the last one may go beyond it by a whole command. */
export const appendMaxBytes = bodyMaxBytes - commandMaxBytes - headersMaxBytes;

const MESSAGES_MAX = 4096;
const ENTRIES_MAX = 4096;
/** Voters, or learners, of one configuration. */
const MEMBERS_MAX = 256;

const Count = Type.Integer({ minimum: 0, maximum: COUNT_MAX });
const Voter = Type.Integer({ minimum: 1, maximum: COUNT_MAX });

const ConfigurationShape = Type.Object(
  {
    voters: Type.Array(Voter, { minItems: 1, maxItems: MEMBERS_MAX }),
    learners: Type.Array(Voter, { maxItems: MEMBERS_MAX }),
  },
  closed,
);

const place = { index: Voter, term: Count };
const EntryShape = Type.Union([
  Type.Object({ kind: Type.Literal('command'), ...place, data: CommandShape }, closed),
  Type.Object({ kind: Type.Literal('noop'), ...place }, closed),
  Type.Object(
    {
      kind: Type.Literal('configuration'),
      ...place,
      configuration: ConfigurationShape,
      data: Type.Union([CommandShape, Type.Null()]),
    },
    closed,
  ),
]);

const form = <Kind extends Message['kind'], Fields extends Parameters<typeof Type.Object>[0]>(
  kind: Kind,
  fields: Fields,
) =>
  Type.Object(
    { kind: Type.Literal(kind), epochId: EpochIdShape, term: Count, from: Voter, to: Voter, ...fields },
    closed,
  );

const last = { lastIndex: Count, lastTerm: Count };
const granted = Type.Boolean();

const MessageShape = Type.Unsafe<Message>(
  Type.Union([
    form('append', {
      prevIndex: Count,
      prevTerm: Count,
      commit: Count,
      entries: Type.Array(EntryShape, { maxItems: ENTRIES_MAX }),
    }),
    form('append.answer', { ok: Type.Literal(true), matchIndex: Count }),
    form('append.answer', { ok: Type.Literal(false), prevIndex: Count, hintIndex: Count, hintTerm: Count }),
    form('heartbeat', { commit: Count, round: Count }),
    form('heartbeat.answer', { round: Count }),
    form('pre-vote', { nextTerm: Count, ...last }),
    form('pre-vote.answer', { nextTerm: Count, granted }),
    form('vote', { ...last, transfer: Type.Boolean() }),
    form('vote.answer', { granted }),
    form('snapshot', {
      snapshot: Type.Object({ index: Count, term: Count, configuration: ConfigurationShape }, closed),
    }),
    form('timeout-now', {}),
    form('not-member', { appliedIndex: Count }),
  ]),
);

const stepCodec: Codec<readonly Message[]> = codec(
  'a Raft step',
  Type.Array(MessageShape, { minItems: 1, maxItems: MESSAGES_MAX }),
);

/** Fails with `too-large`; one message that keeps to the bounds above always fits. */
export function encodeMessages(messages: readonly Message[]): Uint8Array {
  const bytes = utf8(`[${messages.map(messageText).join(',')}]`);
  if (bytes.length <= bodyMaxBytes) return bytes;
  throw new SkeinError('too-large', `a Raft step has ${bytes.length} bytes, ${bodyMaxBytes} are allowed`);
}

/** Entries go as the texts that the disk gets too, so that each is made once. */
function messageText(message: Message): string {
  if (message.kind !== 'append') return JSON.stringify(message);
  const { entries, ...rest } = message;
  return `${JSON.stringify(rest).slice(0, -1)},"entries":[${entries.map(entryText).join(',')}]}`;
}

/** Fails with `invalid-request`. */
export function decodeMessages(bytes: Uint8Array): Message[] {
  const messages = [...stepCodec.decode(bytes)];
  for (const message of messages) {
    if (message.kind === 'append') checkEntries(message.prevIndex, message.entries);
    if (message.kind === 'snapshot') checkConfiguration(message.snapshot.configuration);
  }
  return messages;
}

function checkEntries(prevIndex: number, entries: readonly Entry[]): void {
  for (const [n, entry] of entries.entries()) {
    if (entry.index !== prevIndex + 1 + n) throw invalid(`entry ${entry.index} does not follow ${prevIndex + n}`);
    if (entry.kind === 'configuration') checkConfiguration(entry.configuration);
  }
}

function checkConfiguration({ voters, learners }: Configuration): void {
  const ids = [...voters, ...learners];
  if (new Set(ids).size < ids.length) throw invalid('a member stands twice in a configuration');
}

const invalid = (what: string): SkeinError => new SkeinError('invalid-request', `a Raft step: ${what}`);
