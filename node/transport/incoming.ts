// Serves the requests that one peer sends on one stream. Whatever arrives is parsed, judged and answered or dropped; nothing
// that a peer sends can end this node.
import type { Stream } from '@libp2p/interface';
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId } from '../../protocol/ids.ts';
import { encodeAnswer, encodeFailure, type Frame, FrameReader } from '../../protocol/wire/frame.ts';
import type { Log } from '../log.ts';
import type { Dispatcher } from './dispatch.ts';
import { FrameWriter } from './frame-writer.ts';
import { inFlightMax } from './pending.ts';
import type { Channel } from './port.ts';

/** Twice what a caller may have in flight: what it gave up on may still be in a handler's hands here. */
const unansweredMax = 2 * inFlightMax;

export interface IncomingParts {
  readonly from: PeerId;
  readonly channel: Channel;
  readonly dispatcher: Dispatcher;
  readonly log: Log;
}

export function serve(stream: Stream, { from, channel, dispatcher, log }: IncomingParts): void {
  const reader = new FrameReader();
  const writer = new FrameWriter();
  let unanswered = 0;

  const reply = (id: number, frame: () => readonly Uint8Array[]): void => {
    try {
      writer.write(frame());
    } catch (error) {
      if (error instanceof SkeinError && error.code === 'too-large') reply(id, () => encodeFailure(id, error));
      // A peer that asks and does not read its answers is hung up on, before its answers fill our memory.
      else drop(error);
    }
  };

  const onRequest = async ({ id, method, body }: Frame & { kind: 'request' }): Promise<void> => {
    if (unanswered >= unansweredMax) {
      const error = new SkeinError('too-many-requests', `${unansweredMax} requests of yours are unanswered`);
      reply(id, () => encodeFailure(id, error));
      return;
    }
    unanswered++;
    try {
      const answer = await dispatcher.answer(from, channel, method, body);
      reply(id, () => encodeAnswer(id, answer));
    } catch (error) {
      reply(id, () => encodeFailure(id, error as SkeinError));
    } finally {
      unanswered--;
    }
  };

  const drop = (error: unknown): void => {
    log.warn({ err: error, from, channel }, 'a stream was dropped');
    stream.abort(error as Error);
  };

  stream.addEventListener('message', ({ data }) => {
    try {
      for (const frame of reader.push(data)) {
        if (frame.kind !== 'request') throw new SkeinError('invalid-request', 'an answer where requests are expected');
        void onRequest(frame);
      }
    } catch (error) {
      drop(error);
    }
  });
  stream.addEventListener('remoteCloseWrite', () => stream.abort(new Error('the other side is done')));
  stream.addEventListener('close', () => writer.reset());
  writer.attach(stream);
}
