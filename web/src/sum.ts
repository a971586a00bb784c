// Exact sums of decimal text: no float is in the way.

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;

/** The sum, with as many places as the longest amount; what is no decimal is left out. */
export function sumOf(amounts: string[]): string {
  const parts = amounts.flatMap((amount) => {
    const found = DECIMAL.exec(amount);
    return found === null ? [] : [{ negative: found[1] === '-', whole: found[2] ?? '0', part: found[3] ?? '' }];
  });
  const places = Math.max(0, ...parts.map((one) => one.part.length));
  const sum = parts.reduce((all, { negative, whole, part }) => {
    const units = BigInt(whole + part.padEnd(places, '0'));
    return negative ? all - units : all + units;
  }, 0n);
  const digits = (sum < 0n ? -sum : sum).toString().padStart(places + 1, '0');
  const at = digits.length - places;
  return `${sum < 0n ? '-' : ''}${digits.slice(0, at)}${places > 0 ? `.${digits.slice(at)}` : ''}`;
}
