// Answers with the bytes of something that never changes: whole, a range of it, or only its headers.
import type { Readable } from 'node:stream';
import { SkeinError } from '../protocol/errors.ts';
import type { Reply, Request } from './context.ts';
import { type ByteRange, contentRange, parseRange } from './range.ts';

export interface Content {
  readonly totalBytes: number;
  /** Without quotes. */
  readonly etag: string;
  readonly type: string;
  /** May be kept for ever by whoever has it: its name is its hash. */
  readonly immutable: boolean;
  readonly open: (range: ByteRange) => Promise<Readable>;
}

export async function serve(request: Request, reply: Reply, content: Content): Promise<Reply> {
  const etag = `"${content.etag}"`;
  reply
    .header('etag', etag)
    .header('accept-ranges', 'bytes')
    .header('cache-control', content.immutable ? 'private, max-age=31536000, immutable' : 'private, no-cache')
    .header('content-type', content.type);
  const { 'if-match': wanted, 'if-none-match': known, 'if-range': same } = request.headers;
  if (wanted !== undefined && !tags(wanted).includes(etag) && wanted !== '*') {
    throw new SkeinError('precondition-failed', 'what is here is not what If-Match names');
  }
  // Compared as RFC 9110 has it: here alone a weak tag will do.
  if (known === '*' || tags(known).some((tag) => tag.replace(/^W\//, '') === etag)) return reply.status(304).send();
  const ranged = request.method === 'GET' && (same === undefined || same === etag);
  const range = ranged ? parseRange(request.headers.range, content.totalBytes) : undefined;
  const part = range ?? { offset: 0, sizeBytes: content.totalBytes };
  if (range !== undefined) reply.status(206).header('content-range', contentRange(range, content.totalBytes));
  reply.header('content-length', part.sizeBytes);
  if (request.method === 'HEAD') return reply.send();
  if (part.sizeBytes === 0) return reply.send('');
  return reply.send(await opened(content, part));
}

async function opened(content: Content, part: ByteRange): Promise<Readable> {
  try {
    return await content.open(part);
  } catch (error) {
    if (!(error instanceof SkeinError) || error.code !== 'not-found') throw error;
    throw new SkeinError('gone', 'the bytes were kept no longer than their time', { cause: error });
  }
}

const tags = (header: string | undefined): string[] => (header ?? '').split(',').map((tag) => tag.trim());
