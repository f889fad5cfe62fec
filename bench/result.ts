/** One measure, as `npm run bench -- --json FILE` writes it. */
export interface BenchResult {
  readonly name: string;
  /** The same work done by the bare parts in the same run, in `unit`; null where nothing bare does it. */
  readonly floor: number | null;
  readonly figure: number;
  readonly unit: string;
  /** `figure` to `floor`; null where there is no floor. */
  readonly ratio: number | null;
  /** A number limits `ratio`; a text such as `2000 ms` limits `figure`, in its unit. */
  readonly budget: number | string;
  readonly met: boolean;
}

export interface Measured {
  readonly name: string;
  readonly floor?: number;
  readonly figure: number;
  readonly unit: string;
  /** `times` is a multiple of the floor, `most` an amount in `unit`. */
  readonly budget: { readonly times: number } | { readonly most: number };
}

/** Judges a measure. One that is no number, or has no floor for its budget, is a bug of the bench. */
export function judge({ name, floor, figure, unit, budget }: Measured): BenchResult {
  if (!Number.isFinite(figure) || (floor !== undefined && !(floor > 0)))
    throw new Error(`${name}: figure ${figure}, floor ${floor} is no measure`);
  const ratio = floor === undefined ? null : round(figure / floor);
  if ('times' in budget && ratio === null) throw new Error(`${name} has no floor to be a multiple of`);
  return {
    name,
    floor: floor === undefined ? null : round(floor),
    figure: round(figure),
    unit,
    ratio,
    budget: 'times' in budget ? budget.times : `${budget.most} ${unit}`,
    met: 'times' in budget ? (ratio ?? Number.POSITIVE_INFINITY) <= budget.times : figure <= budget.most,
  };
}

/** The middle one; the mean of the two middle ones where their number is even. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** The table for people; numbers stand right. */
export function formatTable(results: readonly BenchResult[]): string {
  const rows = results.map((one) => [
    one.name,
    one.floor === null ? '-' : String(one.floor),
    String(one.figure),
    one.unit,
    one.ratio === null ? '-' : `${one.ratio}x`,
    typeof one.budget === 'number' ? `${one.budget}x` : one.budget,
    one.met ? 'met' : 'MISSED',
  ]);
  const table = [['measure', 'floor', 'figure', 'unit', 'ratio', 'budget', ''], ...rows];
  const isNumber = [false, true, true, false, true, true, false];
  const widths = isNumber.map((_, at) => Math.max(...table.map((row) => row[at]?.length ?? 0)));
  return table
    .map((row) =>
      row
        .map((cell, at) => (isNumber[at] ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Three figures are more than any single run is good for. */
const round = (value: number): number => Number(value.toPrecision(3));
