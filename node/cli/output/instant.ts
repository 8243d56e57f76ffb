// Times as tables show them, in UTC: `14:02:31` today, else `2026-11-23 14:02`.

/** @param at RFC 3339 @param now milliseconds since 1970 */
export function formatTime(at: string | null, now: number): string {
  if (at === null) return '-';
  const today = new Date(now).toISOString().slice(0, 10);
  return at.startsWith(today) ? at.slice(11, 19) : `${at.slice(0, 10)} ${at.slice(11, 16)}`;
}
