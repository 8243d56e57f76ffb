import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatDuration, formatSize, parseDuration, parseSize } from '../../../node/config/units.ts';

test('durations are read in the ways that people write them', () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['500ms', 500],
    ['10s', 10_000],
    ['10m', 600_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['30d', 2_592_000_000],
    ['2w', 1_209_600_000],
    ['90', 90_000],
    ['0.5', 500],
    [' 1H ', 3_600_000],
    ['0', undefined],
    ['0s', undefined],
    ['', undefined],
    ['10', 10_000],
    ['m', undefined],
    ['10x', undefined],
    ['-1s', undefined],
    ['1h 30m', undefined],
    ['1e3s', undefined],
  ];
  for (const [text, ms] of cases) assert.is(parseDuration(text), ms, text);
});

test('sizes are powers of 1024', () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['0', 0],
    ['1024', 1024],
    ['4g', 4 * 1024 ** 3],
    ['4GiB', 4 * 1024 ** 3],
    ['4GB', 4 * 1024 ** 3],
    ['1.5m', 1.5 * 1024 ** 2],
    ['10 k', 10_240],
    ['7b', 7],
    ['g', undefined],
    ['-1g', undefined],
    ['1x', undefined],
    ['9999999999p', undefined],
  ];
  for (const [text, bytes] of cases) assert.is(parseSize(text), bytes, text);
});

test('a printed duration is read back as about the same', () => {
  for (let ms = 7; ms < 400_000_000; ms = Math.ceil(ms * 1.37)) {
    const back = parseDuration(formatDuration(ms).replaceAll(' ', '')) ?? 0;
    assert.ok(Math.abs(back - ms) <= Math.max(60, ms * 0.04), `${ms} became ${formatDuration(ms)}`);
  }
});

test('durations and sizes are printed short', () => {
  assert.is(formatDuration(0), '0 ms');
  assert.is(formatDuration(3400), '3.4 s');
  assert.is(formatDuration(59_960), '1m 00s');
  assert.is(formatDuration(108_000), '1m 48s');
  assert.is(formatDuration(18_720_000), '5h 12m');
  assert.is(formatDuration(3_599_900), '1h 00m');
  assert.is(formatDuration(90_000_000), '1d 1h');
  assert.is(formatSize(0), '0 B');
  assert.is(formatSize(999), '999 B');
  assert.is(formatSize(48_000), '48 kB');
  assert.is(formatSize(1_200_000), '1.2 MB');
  assert.is(formatSize(999_600), '1.0 MB');
  assert.is(formatSize(1_073_741_824), '1.1 GB');
});

test.run();
