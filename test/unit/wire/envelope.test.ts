import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { SkeinError } from '../../../protocol/errors.ts';
import type { EpochId, MeshId, PeerId } from '../../../protocol/ids.ts';
import {
  openEnvelope,
  readEnvelope,
  type Signer,
  sealEnvelope,
  type Verifier,
} from '../../../protocol/wire/envelope.ts';

// Not a signature, but one that depends on every byte and on the signer, as a simulator's does.
function keyedHash(peer: PeerId, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(64);
  let hash = 7;
  for (const byte of [...new TextEncoder().encode(peer), ...bytes]) hash = (Math.imul(hash, 31) + byte) >>> 0;
  new DataView(out.buffer).setUint32(0, hash);
  return out;
}
const signerOf = (self: PeerId): Signer => ({ self, sign: (bytes) => keyedHash(self, bytes) });
const verifier: Verifier = {
  verify: (peer, bytes, signature) => keyedHash(peer, bytes).every((byte, n) => byte === signature[n]),
};

const content = {
  meshId: '0f'.repeat(16) as MeshId,
  epochId: 'f0'.repeat(16) as EpochId,
  topic: 'heartbeats' as const,
  incarnation: 3,
  sequence: 2 ** 52 + 1,
  body: Uint8Array.of(1, 2, 3),
};

test('an envelope opens to what was sealed, with its sender', () => {
  assert.equal(openEnvelope(sealEnvelope(content, signerOf('12D3abc' as PeerId)), verifier), {
    ...content,
    sender: '12D3abc',
  });
});

test('no byte of it can be changed, added or taken away', () => {
  const sealed = sealEnvelope(content, signerOf('12D3abc' as PeerId));
  for (let at = 0; at < sealed.length; at++) {
    const changed = sealed.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.is(openEnvelope(changed, verifier), undefined, `byte ${at}`);
    assert.is(openEnvelope(sealed.slice(0, at), verifier), undefined, `cut at ${at}`);
  }
  assert.is(openEnvelope(Uint8Array.of(...sealed, 0), verifier), undefined);
});

test('noise of every length is no envelope and does no harm', () => {
  for (let length = 0; length < 300; length++) {
    const noise = Uint8Array.from({ length }, (_, n) => (n === 0 ? 1 : (n * 37 + length) & 255));
    assert.is(openEnvelope(noise, verifier), undefined);
    readEnvelope(noise);
  }
});

test('more than 64 KiB is not sealed', () => {
  const body = new Uint8Array(65_536);
  assert.throws(
    () => sealEnvelope({ ...content, body }, signerOf('12D3abc' as PeerId)),
    (error: SkeinError) => error.code === 'too-large',
  );
});

test.run();
