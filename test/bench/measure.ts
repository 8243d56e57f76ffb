// Figures of a benchmark: several runs of a thing and of its floor in turn, the median with min and max, and their ratio.

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly ours: Spread;
  /** What it is held against, measured in turn with it. */
  readonly floor: { readonly name: string; readonly spread: Spread } | null;
  /** Pair by pair: ours ÷ floor. */
  readonly ratio: Spread | null;
  /** For instance `≥ 0.5`, or null where there is none. */
  readonly target: string | null;
  readonly met: boolean | null;
}

export interface Pairing {
  readonly name: string;
  readonly unit: string;
  readonly runs: number;
  readonly ours: () => Promise<number>;
  readonly floor?: { readonly name: string; readonly run: () => Promise<number> };
  readonly target?: { readonly least?: number; readonly most?: number };
}

export function spreadOf(figures: readonly number[]): Spread {
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(sorted, middle) : (at(sorted, middle - 1) + at(sorted, middle)) / 2;
  return { median, min: at(sorted, 0), max: at(sorted, sorted.length - 1) };
}

export const percentile = (figures: readonly number[], share: number): number =>
  at(
    figures.toSorted((a, b) => a - b),
    Math.min(figures.length - 1, Math.floor(figures.length * share)),
  );

const at = (figures: readonly number[], index: number): number => figures[index] ?? Number.NaN;

/** One warm-up of each, then ours and the floor in turn: the machine's moods hit both alike. */
export async function measure({ name, unit, runs, ours, floor, target }: Pairing): Promise<Row> {
  await ours();
  await floor?.run();
  const figures: { ours: number; floor: number }[] = [];
  for (let run = 0; run < runs; run++) {
    figures.push({ ours: await ours(), floor: (await floor?.run()) ?? Number.NaN });
  }
  const ratio = floor === undefined ? null : spreadOf(figures.map((each) => each.ours / each.floor));
  return {
    name,
    unit,
    ours: spreadOf(figures.map((each) => each.ours)),
    floor: floor === undefined ? null : { name: floor.name, spread: spreadOf(figures.map((each) => each.floor)) },
    ratio,
    target: target === undefined ? null : targetText(target),
    met:
      target === undefined || ratio === null
        ? null
        : ratio.median >= (target.least ?? 0) && ratio.median <= (target.most ?? Number.POSITIVE_INFINITY),
  };
}

const targetText = ({ least, most }: NonNullable<Pairing['target']>): string =>
  [least === undefined ? '' : `≥ ${least}`, most === undefined ? '' : `≤ ${most}`].filter(Boolean).join(', ');

export function printRow(row: Row): void {
  const ours = `${show(row.ours)} ${row.unit}`;
  const floor = row.floor === null ? '' : `${row.floor.name} ${show(row.floor.spread)}`;
  const ratio = row.ratio === null ? '' : `ratio ${show(row.ratio)}`;
  const verdict = row.target === null ? '' : `${row.target} ${row.met === null ? '' : row.met ? 'met' : 'MISSED'}`;
  process.stdout.write(
    `${row.name.padEnd(44)} ${ours.padEnd(34)} ${floor.padEnd(46)} ${ratio.padEnd(28)} ${verdict}\n`,
  );
}

const show = ({ median, min, max }: Spread): string => `${short(median)} (${short(min)}–${short(max)})`;

function short(figure: number): string {
  if (!Number.isFinite(figure)) return '-';
  if (Math.abs(figure) >= 100) return figure.toFixed(0);
  return Math.abs(figure) >= 10 ? figure.toFixed(1) : figure.toFixed(2);
}
