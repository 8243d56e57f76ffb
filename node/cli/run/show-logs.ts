// The log of one task on this command's own streams: read to its end, or followed until the task ends.
import type { SkeinClient } from '../../../gateway/client/client.ts';
import type { Call } from '../call.ts';
import { LineSplitter } from '../output/lines.ts';
import { replacedSentence } from './follow-task.ts';

export interface LogRequest {
  readonly jobId: string;
  readonly task: number;
  readonly streams: readonly ('out' | 'err')[];
  /** A number, `latest` or `all`. */
  readonly attempt: string;
  readonly tail: number | undefined;
  readonly follow: boolean;
  /** Each line after `TASK | `, as where several tasks are shown. */
  readonly prefix: boolean;
}

type Client = Pick<SkeinClient, 'readLog' | 'followLog'>;
type Write = (bytes: Uint8Array) => Promise<void>;

/** Fails with ReaderGone where stdout is closed. */
export async function showLogs(call: Call, client: Client, request: LogRequest, signal: AbortSignal): Promise<void> {
  const shown = request.streams.map((stream) => showStream(call, client, request, stream, signal));
  await Promise.all(shown);
}

async function showStream(
  call: Call,
  client: Client,
  request: LogRequest,
  stream: 'out' | 'err',
  signal: AbortSignal,
): Promise<void> {
  const writer = writerOf(call, request, stream);
  const chunks = request.follow
    ? follow(call, client, request, stream, signal)
    : await client.readLog(request.jobId, request.task, { stream, attempt: request.attempt }, 0, signal);
  if (request.tail === undefined || request.follow) {
    for await (const chunk of chunks) await writer.write(chunk);
  } else {
    for (const line of await lastLines(chunks, request.tail)) await writer.write(line);
  }
  await writer.end();
}

function writerOf(
  call: Call,
  { prefix, task }: LogRequest,
  stream: 'out' | 'err',
): { write: Write; end: () => Promise<void> } {
  const write: Write = (bytes) => call.screen.script(stream, bytes);
  if (!prefix) return { write, end: async () => undefined };
  const splitter = new LineSplitter();
  const lines = async (all: readonly string[]): Promise<void> => {
    for (const line of all) await write(Buffer.from(`${task} | ${line}\n`));
  };
  return { write: (bytes) => lines(splitter.push(bytes)), end: () => lines(splitter.end()) };
}

async function* follow(
  call: Call,
  client: Client,
  { jobId, task, attempt, streams }: LogRequest,
  stream: 'out' | 'err',
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let attempts = 0;
  for await (const item of client.followLog(jobId, task, { stream, attempt }, signal)) {
    if (item.kind === 'log') yield item.bytes;
    if (item.kind === 'end') return;
    if (item.kind !== 'attempt') continue;
    attempts += 1;
    if (attempts === 1 || stream !== streams[0]) continue;
    await call.screen.sayNow(replacedSentence(item, `task ${task}`));
    await call.screen.sayNow(`--- attempt ${item.attempt}, output starts over ---`);
  }
}

/** The last lines with their ends, byte for byte; only those are held. */
async function lastLines(chunks: AsyncIterable<Uint8Array>, count: number): Promise<readonly Uint8Array[]> {
  const lines: Uint8Array[] = [];
  let rest = Buffer.alloc(0);
  const keep = (line: Uint8Array): void => {
    lines.push(line);
    if (lines.length > count) lines.shift();
  };
  for await (const chunk of chunks) {
    const all = Buffer.concat([rest, chunk]);
    let from = 0;
    for (let at = all.indexOf(10); at >= 0; at = all.indexOf(10, from)) {
      keep(Buffer.from(all.subarray(from, at + 1)));
      from = at + 1;
    }
    rest = Buffer.from(all.subarray(from));
  }
  if (rest.length > 0) keep(rest);
  return count === 0 ? [] : lines;
}
