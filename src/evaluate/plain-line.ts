/**
 * How far a file lies from what plain formats reach at its size: the line through the files whose weights are only rounded
 * to nearest and that no other of them beats, straight between them in bits and the logarithm of the error.
 */
export interface SizedError {
  /** Bits per weight, everything counted. */
  readonly bits: number;
  readonly error: number;
}

/** Plain files that no other beats in size and error, by rising size. */
export function plainFront(plain: readonly SizedError[]): SizedError[] {
  let least = Infinity;
  return [...plain].sort((a, b) => a.bits - b.bits || a.error - b.error).filter(({ error }) => {
    if (!(error < least)) return false;
    least = error;
    return true;
  });
}

/** Sizes within this share are one: files of one format differ by what recipes fold. */
const sameSize = 0.01;

/** Error of the line at a size; that of its largest file beyond it, undefined below its smallest. */
export function errorOfLine(front: readonly SizedError[], bits: number): number | undefined {
  const at = front.findIndex((point) => point.bits > bits);
  if (front.length === 0 || bits < front[0].bits * (1 - sameSize)) return undefined;
  if (at === 0) return front[0].error;
  if (at < 0) return front.at(-1)!.error;
  const [low, high] = [front[at - 1], front[at]];
  const share = (bits - low.bits) / (high.bits - low.bits);
  return Math.exp((1 - share) * Math.log(low.error) + share * Math.log(high.error));
}

/** Error by that of the line at the same size: below 1 is better than plain. */
export function ofPlain(front: readonly SizedError[], { bits, error }: SizedError): number | undefined {
  const line = errorOfLine(front, bits);
  return line === undefined || line === 0 ? undefined : error / line;
}
