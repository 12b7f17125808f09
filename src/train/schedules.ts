/** Learning rates over time, as factors of a base rate: functions of the step, counted from 0. */
export type Schedule = (step: number) => number;

export const constant = (): Schedule => () => 1;

/** Rises linearly over `warmup` steps, then follows another schedule from its start. */
export const withWarmup = (warmup: number, then: Schedule): Schedule => (step) => (step < warmup ? (step + 1) / (warmup + 1) : then(step - warmup));

/** Half a cosine from 1 to `floor` over `steps`. */
export const cosine = (steps: number, floor = 0): Schedule => (step) =>
  floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, step / steps)));

/** A straight line from 1 to `floor` over `steps`. */
export const linear = (steps: number, floor = 0): Schedule => (step) => 1 - (1 - floor) * Math.min(1, step / steps);

/** Warm-up, a plateau, and a linear decay over the last `decay` steps. */
export const warmupStableDecay = (steps: number, warmup: number, decay: number, floor = 0): Schedule => (step) => {
  if (step < warmup) return (step + 1) / (warmup + 1);
  return step < steps - decay ? 1 : linear(decay, floor)(step - (steps - decay));
};

/** Multiplied by `gamma` every `every` steps. */
export const exponential = (gamma: number, every = 1): Schedule => (step) => gamma ** Math.floor(step / every);

/** Falls by `factor` whenever the loss has not improved for `patience` steps; driven by the losses it is told. */
export class Plateau {
  #factor: number;
  #patience: number;
  #floor: number;
  #rate = 1;
  #best = Infinity;
  #waited = 0;

  constructor({ factor = 0.1, patience = 10, floor = 0 }: { readonly factor?: number; readonly patience?: number; readonly floor?: number } = {}) {
    this.#factor = factor;
    this.#patience = patience;
    this.#floor = floor;
  }

  get rate(): number { return this.#rate; }

  /** Improvements below a share of 1e-4 do not count, as usual for this schedule. */
  observe(loss: number): void {
    if (loss < this.#best * (1 - 1e-4)) {
      this.#best = loss;
      this.#waited = 0;
    } else if (++this.#waited > this.#patience) {
      this.#rate = Math.max(this.#floor, this.#rate * this.#factor);
      this.#waited = 0;
    }
  }
}
