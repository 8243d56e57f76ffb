// Whether a returned file may take its place (DESIGN.md section 6: no local file is lost).

/** What is at the place now. */
export type Present =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'file'; readonly sha256: string }
  | { readonly kind: 'link'; readonly target: string }
  /** A folder, a device: never replaced. */
  | { readonly kind: 'other' };

export type Verdict = 'write' | 'same' | 'aside';

/** The name under which a link is on record, where a file is by its sha-256. */
export const linkMark = (target: string): string => `link:${target}`;

/**
 * @param incoming sha-256 of the returned file, or the mark of a returned link
 * @param uploaded what this job took from that place
 * @param written what skein last wrote there
 */
export function decide(
  present: Present,
  incoming: string,
  known: { readonly uploaded: string | undefined; readonly written: string | undefined; readonly overwrite: boolean },
): Verdict {
  if (present.kind === 'nothing') return 'write';
  if (present.kind === 'other') return 'aside';
  const now = present.kind === 'file' ? present.sha256 : linkMark(present.target);
  if (now === incoming) return 'same';
  return known.overwrite || now === known.uploaded || now === known.written ? 'write' : 'aside';
}
