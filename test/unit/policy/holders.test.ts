// Which gateways hold a blob.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ranked } from '../../../node/policy/holders.ts';
import type { PeerId, Sha256 } from '../../../protocol/ids.ts';
import { hashOf } from '../../support/gateways.ts';

const peer = (n: number): PeerId => `12D3KooW${hashOf(Buffer.from([n])).slice(0, 44)}` as PeerId;
const gateways = [1, 2, 3, 4].map(peer);
const BLOBS = 4_000;
const blobs: readonly Sha256[] = Array.from({ length: BLOBS }, (_, n) => hashOf(Buffer.from(String(n))));

test('all gateways come to the same order, however their lists lie', () => {
  for (const sha256 of blobs.slice(0, 100)) {
    assert.equal(ranked(sha256, gateways), ranked(sha256, gateways.toReversed()));
    assert.equal([...ranked(sha256, gateways)].sort(), gateways.toSorted());
  }
});

test('blobs spread evenly, and so do the second places after each first', () => {
  const firsts = Map.groupBy(blobs, (sha256) => ranked(sha256, gateways)[0]);
  assert.is(firsts.size, gateways.length);
  for (const own of firsts.values()) {
    assert.ok(Math.abs(own.length - BLOBS / 4) < BLOBS / 40, `${own.length} of ${BLOBS}`);
    const seconds = Map.groupBy(own, (sha256) => ranked(sha256, gateways)[1]);
    for (const { length } of seconds.values()) {
      assert.ok(Math.abs(length - own.length / 3) < own.length / 15, `${length} of ${own.length}`);
    }
  }
});

test('a gateway that goes moves only what it had', () => {
  const [gone, ...left] = gateways;
  for (const sha256 of blobs) {
    const kept = ranked(sha256, gateways).filter((each) => each !== gone);
    assert.equal(ranked(sha256, left), kept);
  }
});

test.run();
