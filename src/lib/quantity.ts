/** A Kubernetes quantity such as `10Gi`, `500m` or `1e3`, exact in thousandths. */
export interface Quantity {
  /** The value times 1000, rounded up. */
  readonly milli: bigint;
}

const pattern = /^([+-]?)(\d+)?(?:\.(\d*))?(?:(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)|[eE]([+-]?\d+))?$/;
const binary = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const decimalPower: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};

const ceilDivide = (a: bigint, b: bigint) => (a >= 0n ? (a + b - 1n) / b : a / b);

/** Parses a quantity, or gives undefined where `text` is none. Numbers count as their decimal text. */
export function parseQuantity(text: string | number): Quantity | undefined {
  const match = pattern.exec(String(text));
  if (!match) return undefined;
  const [, sign, whole, fraction = '', suffix, exponent] = match;
  if (whole === undefined && fraction === '') return undefined;
  const digits = BigInt((whole ?? '') + fraction);
  let numerator = digits * 1000n;
  let denominator = 10n ** BigInt(fraction.length);
  const power = suffix === undefined ? Number(exponent ?? 0) : (decimalPower[suffix] ?? 0);
  if (Math.abs(power) > 30) return undefined;
  if (suffix !== undefined && binary.includes(suffix))
    numerator *= 1024n ** BigInt(binary.indexOf(suffix) + 1);
  else if (power >= 0) numerator *= 10n ** BigInt(power);
  else denominator *= 10n ** BigInt(-power);
  const milli = ceilDivide(sign === '-' ? -numerator : numerator, denominator);
  return { milli };
}

/** Whole bytes, rounded up, or undefined where `text` is no quantity. */
export function parseBytes(text: string | number): bigint | undefined {
  const quantity = parseQuantity(text);
  return quantity && ceilDivide(quantity.milli, 1000n);
}

/** The shortest exact binary form: 10737418240n is `10Gi`, 1000n is `1000`. */
export function formatBytes(bytes: bigint): string {
  if (bytes === 0n) return '0';
  for (let power = binary.length; power > 0; power--) {
    const unit = 1024n ** BigInt(power);
    if (bytes % unit === 0n) return `${bytes / unit}${binary[power - 1]}`;
  }
  return String(bytes);
}

/** -1, 0 or 1, as a sort wants it. */
export function compareQuantity(a: Quantity, b: Quantity): number {
  return a.milli < b.milli ? -1 : a.milli > b.milli ? 1 : 0;
}
