// Durations and sizes as people write them: `1h30m`, `500ms`, `4g`, `1.5MiB`. Both directions.

const MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/;
const SIZE = /^(\d+(?:\.\d+)?)\s*(?:([kmgtp])(i?b)?|b)?$/i;
const POWER = { k: 1, m: 2, g: 3, t: 4, p: 5 } as const;

/** Milliseconds, at least 1; undefined where the text is no duration. A bare number is seconds, as with timeout(1). */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim().toLowerCase();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return positive(Number(trimmed) * 1000);
  if (!DURATION.test(trimmed)) return undefined;
  let total = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    total += Number(amount) * MS[unit as keyof typeof MS];
  }
  return positive(total);
}

const positive = (ms: number): number | undefined => (ms >= 1 ? Math.round(ms) : undefined);

/** Bytes, powers of 1024 (`4g` is 4 GiB); undefined where the text is no size. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (match === null) return undefined;
  const unit = match[2]?.toLowerCase() as keyof typeof POWER | undefined;
  const bytes = Math.round(Number(match[1]) * (unit === undefined ? 1 : 1024 ** POWER[unit]));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `3.4 s`, `1m 48s`, `5h 12m`, `3d 4h`: two parts at most. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

const pad = (n: number): string => String(n).padStart(2, '0');

/** `48 kB`, `1.2 MB`: powers of 1000, as disks and networks are sold. */
export function formatSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const;
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 9.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}
