import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SkeinError } from '../../../protocol/errors.ts';
import type { MeshId, PeerId } from '../../../protocol/ids.ts';
import { decodeTicket, encodeTicket, type Ticket } from '../../../protocol/wire/ticket.ts';

const ticket: Ticket = {
  meshId: '0a'.repeat(16) as MeshId,
  meshName: 'geese',
  addresses: ['/ip4/10.0.0.7/tcp/7071', '/dns4/box.example/tcp/7071'],
  peerIds: ['12D3KooWPb6YZk8GhZhxXQdJ9cfgC2wXGw4KCrjYJRQPLaw7UBfB' as PeerId],
  secret: Uint8Array.from({ length: 32 }, (_, n) => 255 - n),
  expiresAt: 1_790_000_000_000,
  roles: ['worker'],
};

const codeOf = (text: string): string => {
  try {
    decodeTicket(text);
    return 'none';
  } catch (error) {
    return error instanceof SkeinError ? error.code : String(error);
  }
};

test('a ticket reads back as it was written, also when a terminal wrapped it', () => {
  const text = encodeTicket(ticket);
  assert.match(text, /^skein1-[A-Za-z0-9_-]+$/);
  assert.equal(decodeTicket(text), ticket);
  assert.equal(decodeTicket(`  ${text.slice(0, 80)}\r\n${text.slice(80)}\n`), ticket);
});

test('a ticket that was cut anywhere, or changed in any place, is malformed and nothing else', () => {
  const text = encodeTicket(ticket);
  for (let end = 0; end < text.length; end++)
    assert.is(codeOf(text.slice(0, end)), 'ticket-malformed', `cut at ${end}`);
  for (let at = 7; at < text.length; at++) {
    const other = text[at] === 'A' ? 'B' : 'A';
    const changed = text.slice(0, at) + other + text.slice(at + 1);
    if (changed !== text) assert.is(codeOf(changed), 'ticket-malformed', `changed at ${at}`);
  }
});

test('what is no ticket at all, or one of a later kind, is told apart', () => {
  for (const text of ['', 'hello', 'skein1-', 'skein1-!!!!', 'x'.repeat(100_000)])
    assert.is(codeOf(text), 'ticket-malformed');
  assert.is(codeOf(encodeTicket(ticket).replace('skein1-', 'skein2-')), 'version-refused');
});

test.run();
