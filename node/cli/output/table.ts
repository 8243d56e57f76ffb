// Borderless tables: fitted to the width on a terminal, full values aligned with spaces elsewhere.
import stringWidth from 'string-width';

export interface Table {
  /** In capitals. */
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const GAP = '  ';
const NARROWEST = 6;

/** @param columns the terminal's width, or undefined to cut nothing. */
export function formatTable({ header, rows }: Table, columns: number | undefined): string {
  const cells = [header, ...rows].map((row) => header.map((_, at) => printable(row[at] ?? '')));
  const natural = header.map((_, at) => Math.max(...cells.map((row) => stringWidth(row[at] ?? ''))));
  const widths = columns === undefined ? natural : fitted(natural, columns);
  return `${cells.map((row) => formatRow(row, widths)).join('\n')}\n`;
}

/** A script's or a peer's text must not steer the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, (char) => (char === '\n' || char === '\t' ? ' ' : '\uFFFD'));
}

function formatRow(row: readonly string[], widths: readonly number[]): string {
  const padded = row.map((cell, at) => {
    const cut = shorten(cell, widths[at] ?? 0);
    return cut + ' '.repeat(Math.max(0, (widths[at] ?? 0) - stringWidth(cut)));
  });
  return padded.join(GAP).trimEnd();
}

/** Takes from the widest column until all fit. */
function fitted(natural: readonly number[], columns: number): readonly number[] {
  const widths = [...natural];
  const total = (): number => widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  while (total() > columns) {
    const widest = widths.indexOf(Math.max(...widths));
    if ((widths[widest] ?? 0) <= NARROWEST) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

export function shorten(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  let cut = '';
  for (const char of text) {
    if (stringWidth(cut + char) > width - 1) break;
    cut += char;
  }
  return `${cut}…`;
}
