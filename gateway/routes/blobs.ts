// Blobs: which are missing, their upload at one go or in parts, and their bytes.
import type { Readable } from 'node:stream';
import { Type } from 'typebox';
import { BlobCheck, BlobCheckRequest } from '../../protocol/api/job.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { Sha256 } from '../../protocol/ids.ts';
import { requires } from '../auth.ts';
import type { App, Context, Reply, Request } from '../context.ts';
import { about, Bytes, HashParam, raw, refusals, unchanged } from '../described.ts';
import { gone } from '../gone.ts';
import { serve } from '../serve.ts';

const offsetHeader = { 'upload-offset': Type.Integer({ description: 'how many bytes are there' }) };

export function blobRoutes(app: App, context: Context): void {
  const { mesh } = context;
  app.post(
    '/v1/blobs/check',
    {
      schema: {
        ...about({ tag: 'blobs', summary: 'Which of these blobs are missing, and where to go on', scope: 'submit' }),
        body: BlobCheckRequest,
        response: { 200: BlobCheck, ...refusals },
      },
      onRequest: requires(mesh, 'submit'),
    },
    async (request) => check(context, request.body.sha256 as Sha256[]),
  );
  app.route({
    method: ['GET', 'HEAD'],
    url: '/v1/blobs/:sha256',
    exposeHeadRoute: false,
    schema: {
      ...about({ tag: 'blobs', summary: 'The bytes of a blob; Range is taken', scope: 'read' }),
      params: Type.Object(HashParam),
      response: { 200: raw('The bytes'), 206: raw('A range of them'), 304: unchanged, ...refusals },
    },
    onRequest: requires(mesh, 'read'),
    handler: (request, reply) => read(context, request, reply, (request.params as { sha256: Sha256 }).sha256),
  });
}

async function check({ mesh }: Context, hashes: readonly Sha256[]): Promise<BlobCheck> {
  const missing: BlobCheck['missing'] = [];
  for (const sha256 of await mesh.blobs.lacking(hashes)) {
    missing.push({ sha256, offset: await mesh.blobs.uploadOffset(sha256) });
  }
  return { schema: 'skein.blobcheck/1', missing };
}

async function read({ mesh }: Context, request: Request, reply: Reply, sha256: Sha256): Promise<Reply> {
  const stat = await mesh.blobs.stat(sha256);
  if (stat === undefined) throw new SkeinError('not-found', `there is no blob ${sha256} here`);
  return serve(request, reply, {
    totalBytes: stat.sizeBytes,
    etag: sha256,
    type: 'application/octet-stream',
    immutable: true,
    open: (range) => mesh.blobs.read(sha256, range),
  });
}

/** In a scope of its own: here a body is a stream of any type and of any length. */
export function uploadRoutes(app: App, { mesh }: Context): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  const onRequest = requires(mesh, 'submit');
  const params = Type.Object(HashParam);
  const body = { content: { 'application/octet-stream': { schema: {} } } };
  app.put(
    '/v1/blobs/:sha256',
    {
      schema: {
        ...about({ tag: 'blobs', summary: 'Upload a blob at one go', scope: 'submit' }),
        params,
        body,
        response: {
          200: Type.Null({ description: 'It was there' }),
          201: Type.Null({ description: 'It is there now' }),
          ...refusals,
        },
      },
      onRequest,
    },
    async (request, reply) => {
      const length = request.headers['content-length'];
      const sizeBytes = length === undefined ? undefined : Number(length);
      const sha256 = request.params.sha256 as Sha256;
      const { existed } = await mesh.blobs.put(sha256, sourceOf(request.body), sizeBytes, gone(reply));
      return reply
        .status(existed ? 200 : 201)
        .header('location', `/v1/blobs/${sha256}`)
        .send();
    },
  );
  app.route({
    method: 'HEAD',
    url: '/v1/blobs/:sha256/upload',
    schema: {
      ...about({ tag: 'blobs', summary: 'Where an upload goes on', scope: 'submit' }),
      params,
      response: { 200: Type.Null({ description: 'Upload-Offset says where', headers: offsetHeader }), ...refusals },
    },
    onRequest,
    handler: async (request, reply) => {
      const sha256 = (request.params as { sha256: Sha256 }).sha256;
      const whole = await mesh.blobs.stat(sha256);
      const offset = whole?.sizeBytes ?? (await mesh.blobs.uploadOffset(sha256));
      return reply.header('cache-control', 'no-store').header('upload-offset', offset).send();
    },
  });
  app.patch(
    '/v1/blobs/:sha256/upload',
    {
      schema: {
        ...about({
          tag: 'blobs',
          summary: 'Append to an upload',
          scope: 'submit',
        }),
        params,
        headers: Type.Object({
          'upload-offset': Bytes('where the body begins in the blob'),
          'upload-length': Bytes('how long the blob is as a whole'),
        }),
        body,
        response: {
          201: Type.Null({ description: 'Whole, and of the right hash', headers: offsetHeader }),
          204: Type.Null({ description: 'Kept; more is expected', headers: offsetHeader }),
          ...refusals,
        },
      },
      onRequest,
    },
    async (request, reply) => {
      const offset = Number(request.headers['upload-offset']);
      const total = Number(request.headers['upload-length']);
      const sha256 = request.params.sha256 as Sha256;
      const state = await mesh.blobs.uploadAppend(sha256, offset, total, sourceOf(request.body), gone(reply));
      return reply
        .status(state.done ? 201 : 204)
        .header('upload-offset', state.offset)
        .send();
    },
  );
}

/**
 * A request without a body uploads the empty blob. Who stops reading in the middle (a full disk) leaves the rest to be thrown
 * away: destroying the request would take the connection along, and with it the answer that says why.
 */
async function* sourceOf(body: unknown): AsyncGenerator<Uint8Array> {
  const stream = body as Readable | undefined;
  if (stream === undefined) return;
  try {
    yield* stream.iterator({ destroyOnReturn: false });
  } finally {
    stream.resume();
  }
}
