import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { realRandom } from '../../../node/clock.ts';
import { openIdentity, openObserverKey } from '../../../node/identity/identity.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { SkeinError } from '../../../protocol/errors.ts';

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'skein-identity-'));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof SkeinError ? error.code : String(error)),
  );

test('keys are made once, are the same at each start, and only their owner can read them', () =>
  inFolder(async (folder) => {
    const first = await openIdentity(folder, realRandom());
    const again = await openIdentity(folder, realRandom());
    assert.equal([again.peerId, again.boxKey, again.observer], [first.peerId, first.boxKey, first.observer]);
    assert.is((await openObserverKey(folder, realRandom())).peerId, first.observer);
    const files = readdirSync(folder).sort();
    assert.equal(files, ['box.key', 'node.key', 'observer.key']);
    for (const file of files) assert.is(statSync(join(folder, file)).mode & 0o777, 0o600);
    assert.is(Buffer.from(first.boxKey, 'base64').length, 32);
  }));

test('what the node signs is verified by its peer id alone', () =>
  inFolder(async (folder) => {
    const { signer, peerId, observer } = await openIdentity(folder, realRandom());
    const verifier = makeVerifier();
    const bytes = Uint8Array.of(1, 2, 3);
    const signature = signer.sign(bytes);
    assert.is(signature.length, 64);
    assert.ok(verifier.verify(peerId, bytes, signature));
    assert.not(verifier.verify(observer, bytes, signature));
    assert.not(verifier.verify(peerId, Uint8Array.of(1, 2, 4), signature));
    assert.not(verifier.verify('nonsense' as typeof peerId, bytes, signature));
  }));

test('a key file that is empty, cut, foreign or a link is an error that names it, never a new key', () =>
  inFolder(async (folder) => {
    await openIdentity(folder, realRandom());
    for (const file of ['node.key', 'box.key', 'observer.key']) {
      for (const content of ['', 'hello', '\x08\x01\x12\x40short']) {
        const path = join(folder, file);
        const { mode } = statSync(path);
        const before = readFileSync(path);
        writeFileSync(path, content);
        assert.is(
          await codeOf(openIdentity(folder, realRandom())),
          'folder-damaged',
          `${file} ${JSON.stringify(content)}`,
        );
        writeFileSync(path, before);
        chmodSync(path, mode);
      }
    }
    rmSync(join(folder, 'node.key'));
    symlinkSync('observer.key', join(folder, 'node.key'));
    assert.is(await codeOf(openIdentity(folder, realRandom())), 'folder-unusable');
  }));

test.run();
