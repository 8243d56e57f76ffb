import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { dialable } from '../../../node/config/dialable.ts';

const face = (address: string, internal: boolean) =>
  ({ address, internal, family: 'IPv4', netmask: '', mac: '', cidr: null }) as const;
const here = { lo: [face('127.0.0.1', true)], eth0: [face('192.0.2.7', false)] };

test('where a gateway listens on all addresses, one that can be dialled is named', () => {
  assert.is(dialable('https://0.0.0.0:7070#sha256=ab', here), 'https://192.0.2.7:7070#sha256=ab');
  assert.is(dialable('https://[::]:7070', here), 'https://192.0.2.7:7070');
  assert.is(dialable('https://0.0.0.0:7070', {}), 'https://127.0.0.1:7070');
  for (const url of ['http://127.0.0.1:7070', 'https://box.example:1']) assert.is(dialable(url, here), url);
});

test.run();
