// How cases write entries, configurations and messages: read and printed by the same rules. See cases/README.md.
import type { JobId } from '../../../protocol/ids.ts';
import type { Body, Configuration, Entry, Envelope, Message } from '../../../protocol/raft/message.ts';
import type { Command } from '../../../protocol/state/command.ts';
import { epochId } from './cluster.ts';

export const command = (label: string): Command => ({ kind: 'job.dropped', jobId: label as JobId, at: 0 });
const labelOf = (data: Command): string => (data.kind === 'job.dropped' ? data.jobId : data.kind);

/** `1,2,3+4`: voters, then learners. */
export function printConfiguration({ voters, learners }: Configuration): string {
  return voters.join(',') + (learners.length > 0 ? `+${learners.join(',')}` : '');
}

export function parseConfiguration(text: string): Configuration {
  const [voters = '', learners = ''] = text.split('+');
  return { voters: ids(voters), learners: ids(learners) };
}

/** `1,2,3` */
export function ids(text: string): number[] {
  return text === '' ? [] : text.split(',').map(number);
}

export function number(text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`not a number: ${text}`);
  return Number(text);
}

/** An entry without its index: `2` is a no-op of term 2, `2:a` a command, `2:{1,2+3}` a configuration. */
export function printEntry(entry: Entry): string {
  if (entry.kind === 'noop') return String(entry.term);
  if (entry.kind === 'command') return `${entry.term}:${labelOf(entry.data)}`;
  return `${entry.term}:{${printConfiguration(entry.configuration)}}`;
}

export function parseEntry(index: number, text: string): Entry {
  const match = /^(\d+)(?::(?:\{(.*)\}|(.+)))?$/.exec(text);
  if (match === null) throw new Error(`not an entry: ${text}`);
  const [, term, configuration, label] = match;
  const place = { index, term: Number(term) };
  if (configuration !== undefined) {
    return { ...place, kind: 'configuration', configuration: parseConfiguration(configuration), data: null };
  }
  return label === undefined ? { ...place, kind: 'noop' } : { ...place, kind: 'command', data: command(label) };
}

/** Entries of a log in order, from `firstIndex` on. */
export function parseEntries(words: readonly string[], firstIndex = 1): Entry[] {
  return words.map((word, n) => parseEntry(firstIndex + n, word));
}

/** `FROM->TO kind tTERM …`, then what the kind carries; entries stand last. */
export function printMessage(message: Message): string {
  return [`${message.from}->${message.to} ${message.kind} t${message.term}`, ...fields(message)].join(' ');
}

function fields(message: Message): string[] {
  switch (message.kind) {
    case 'pre-vote':
      return [`next=${message.nextTerm}`, `last=${message.lastIndex}/${message.lastTerm}`];
    case 'pre-vote.answer':
      return [`next=${message.nextTerm}`, message.granted ? 'granted' : 'refused'];
    case 'vote':
      return [`last=${message.lastIndex}/${message.lastTerm}`, ...(message.transfer ? ['transfer'] : [])];
    case 'vote.answer':
      return [message.granted ? 'granted' : 'refused'];
    case 'append':
      return [
        `prev=${message.prevIndex}/${message.prevTerm}`,
        `commit=${message.commit}`,
        `entries=[${message.entries.map(printEntry).join(' ')}]`,
      ];
    case 'append.answer':
      if (message.ok) return [`match=${message.matchIndex}`];
      return [`refused=${message.prevIndex}`, `hint=${message.hintIndex}/${message.hintTerm}`];
    case 'heartbeat':
      return [`commit=${message.commit}`, `round=${message.round}`];
    case 'heartbeat.answer':
      return [`round=${message.round}`];
    case 'snapshot': {
      const { index, term, configuration } = message.snapshot;
      return [`at=${index}/${term}`, `config=${printConfiguration(configuration)}`];
    }
    case 'timeout-now':
      return [];
    case 'not-member':
      return [`applied=${message.appliedIndex}`];
  }
}

export function parseMessage(text: string): Message {
  const match = /^(\d+)->(\d+) (\S+) t(\d+)(?: (.*))?$/.exec(text.trim());
  if (match === null) throw new Error(`not a message: ${text}`);
  const [, from, to, kind, term, rest = ''] = match;
  const entries = /entries=\[(.*)\]/.exec(rest)?.[1];
  const words = rest.replace(/entries=\[.*\]/, '').split(' ');
  const values = new Map(words.filter((word) => word.includes('=')).map((word) => word.split('=') as [string, string]));
  const value = (key: string): string => {
    const found = values.get(key);
    if (found === undefined) throw new Error(`${kind} needs ${key}=`);
    return found;
  };
  const pair = (key: string): [number, number] => value(key).split('/').map(number) as [number, number];
  const body = (): Body => {
    switch (kind) {
      case 'pre-vote':
        return { kind, nextTerm: number(value('next')), lastIndex: pair('last')[0], lastTerm: pair('last')[1] };
      case 'pre-vote.answer':
        return { kind, nextTerm: number(value('next')), granted: words.includes('granted') };
      case 'vote':
        return { kind, lastIndex: pair('last')[0], lastTerm: pair('last')[1], transfer: words.includes('transfer') };
      case 'vote.answer':
        return { kind, granted: words.includes('granted') };
      case 'append': {
        const [prevIndex, prevTerm] = pair('prev');
        const list = parseEntries((entries ?? '').split(' ').filter(Boolean), prevIndex + 1);
        return { kind, prevIndex, prevTerm, entries: list, commit: number(value('commit')) };
      }
      case 'append.answer':
        if (values.has('match')) return { kind, ok: true, matchIndex: number(value('match')) };
        return {
          kind,
          ok: false,
          prevIndex: number(value('refused')),
          hintIndex: pair('hint')[0],
          hintTerm: pair('hint')[1],
        };
      case 'heartbeat':
        return { kind, commit: number(value('commit')), round: number(value('round')) };
      case 'heartbeat.answer':
        return { kind, round: number(value('round')) };
      case 'snapshot': {
        const [index, snapshotTerm] = pair('at');
        const configuration = parseConfiguration(value('config'));
        return { kind, snapshot: { index, term: snapshotTerm, configuration } };
      }
      case 'timeout-now':
        return { kind };
      case 'not-member':
        return { kind, appliedIndex: number(value('applied')) };
      default:
        throw new Error(`no such message: ${kind}`);
    }
  };
  const envelope: Envelope = { epochId, from: Number(from), to: Number(to), term: Number(term) };
  return { ...body(), ...envelope };
}
