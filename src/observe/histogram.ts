/** Counts of values in equal bins over a range that doubles as values arrive: one pass, fixed memory, any scale. */
import { powerOfTwo, exponentOf } from '../numeric/elementary.ts';
import { defineErrors } from '../errors.ts';

const errors = defineErrors('histogram', {
  notFinite: (f: { value: number; name: string }) => `value ${f.name} of the network became ${f.value} on calibration data`,
});
export const notFinite = errors.notFinite;

const binCount = 8192;

export class Histogram {
  readonly name: string;
  /** Bins over [−reach, reach); reach is a power of two. */
  bins = new Float64Array(binCount);
  reach = 0;
  min = Infinity;
  max = -Infinity;
  count = 0;

  constructor(name: string) {
    this.name = name;
  }

  get binWidth(): number {
    return (2 * this.reach) / binCount;
  }

  /** Middle of bin i. */
  center(i: number): number {
    return (i + 0.5 - binCount / 2) * this.binWidth;
  }

  /** Counts values; throws on NaN and infinities. */
  add(values: ArrayLike<number>): void {
    let low = this.min, high = this.max;
    for (let i = 0; i < values.length; i++) {
      const x = values[i];
      if (!Number.isFinite(x)) throw errors.notFinite({ value: x, name: this.name });
      if (x < low) low = x;
      if (x > high) high = x;
    }
    this.min = low;
    this.max = high;
    this.count += values.length;
    this.#widen(Math.max(Math.abs(low), Math.abs(high)));
    const perUnit = binCount / (2 * this.reach);
    for (let i = 0; i < values.length; i++) this.bins[Math.floor(values[i] * perUnit) + binCount / 2]++;
  }

  #widen(magnitude: number): void {
    if (this.reach > magnitude) return;
    const reach = magnitude > 0 ? powerOfTwo(exponentOf(magnitude) + 1) : powerOfTwo(-100);
    if (this.reach > 0) {
      const shift = exponentOf(reach) - exponentOf(this.reach);
      const merged = new Float64Array(binCount);
      for (let i = 0; i < binCount; i++) {
        if (this.bins[i] !== 0) merged[binCount / 2 + Math.floor((i - binCount / 2) / 2 ** shift)] += this.bins[i];
      }
      this.bins = merged;
    }
    this.reach = reach;
  }
}
