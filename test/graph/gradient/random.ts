import { uniform } from '../../../src/numeric/random.ts';

/** Numbers in order from the project's counter-based generator. */
export class Random {
  readonly #seed: number;
  #index = 0;
  constructor(seed: number) { this.#seed = seed; }
  /** Uniform in [0, 1). */
  next(): number { return uniform(this.#seed, 0, this.#index++); }
  /** Uniform in ±scale. */
  floats(count: number, scale = 1): Float32Array { return Float32Array.from({ length: count }, () => (this.next() * 2 - 1) * scale); }
}
