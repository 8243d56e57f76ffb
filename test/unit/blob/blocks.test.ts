import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blocksOf } from '../../../node/blob/buffers.ts';

async function* chunks(texts: readonly string[], failure?: Error): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
  if (failure !== undefined) throw failure;
}

const four = (): Buffer => Buffer.alloc(4);

async function blocks(source: AsyncIterable<Uint8Array>, buffers: readonly Buffer[], into: string[]): Promise<void> {
  for await (const block of blocksOf(source, buffers)) into.push(Buffer.from(block).toString());
}

test('chunks of any size come as full blocks and a rest, in order', async () => {
  const came: string[] = [];
  await blocks(chunks(['a', 'bcdefghij', '', 'kl']), [four()], came);
  assert.equal(came, ['abcd', 'efgh', 'ijkl']);
  came.length = 0;
  await blocks(chunks(['abcde']), [four(), four()], came);
  assert.equal(came, ['abcd', 'e']);
  came.length = 0;
  await blocks(chunks(['']), [four()], came);
  assert.equal(came, []);
});

test('with two buffers a block stays as it is while the next one fills', async () => {
  const reader = blocksOf(chunks(['abcdefgh']), [four(), four()]);
  const first = (await reader.next()).value as Uint8Array;
  const second = (await reader.next()).value as Uint8Array;
  assert.equal(
    [first, second].map((block) => Buffer.from(block).toString()),
    ['abcd', 'efgh'],
  );
});

test('what came before a source failed comes before its failure', async () => {
  const came: string[] = [];
  const failure = new Error('cut off');
  const error = await blocks(chunks(['abcdef'], failure), [four()], came).catch((met: unknown) => met);
  assert.is(error, failure);
  assert.equal(came, ['abcd', 'ef']);
});

test.run();
