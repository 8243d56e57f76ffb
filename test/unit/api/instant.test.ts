// Times as text, worked out without a Date: held against the real one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rfc3339 } from '../../../protocol/api/instant.ts';

test('an instant reads as the platform writes it, over centuries and at every month', () => {
  const days = [0, 58, 59, 60, 365, 789, 10_956, 11_016, 11_017, 19_782, 20_781, 47_540, 47_541, 73_049];
  for (const day of days) {
    for (const rest of [0, 1, 999, 43_200_000, 86_399_999]) {
      const at = day * 86_400_000 + rest;
      assert.is(rfc3339(at), new Date(at).toISOString());
    }
  }
  for (let at = 0; at < 4e12; at += 7_777_777_777) assert.is(rfc3339(at), new Date(at).toISOString());
});

test('an instant before 1970 reads right, too', () => {
  for (const at of [-1, -86_400_000, -2_208_988_800_000]) assert.is(rfc3339(at), new Date(at).toISOString());
});

test.run();
