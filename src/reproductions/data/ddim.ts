/** The deterministic DDIM sampler (arXiv:2010.02502, eta 0) of networks that predict noise, with classifier-free guidance. */
import { i64, type Tensor } from '../../engine/tensor.ts';

/** Noise predicted at x [n, …], one time step for all of them, and a label for each. */
export type Predict = (x: Tensor, t: number, labels: readonly number[]) => Promise<Float32Array>;

export interface DdimSettings {
  /** Products of 1 − beta, one per time step of training. */
  readonly alphaBar: Float64Array;
  readonly steps: number;
  /** eps = eps(none) + guidance · (eps(label) − eps(none)); at 1 the pass without a label is left out. */
  readonly guidance: number;
  /** The label that stands for none. */
  readonly noLabel: number;
}

/** What the network was asked along the way: n rows of x at one time step. */
export interface Asked { readonly t: number; readonly x: Float32Array; readonly labels: readonly number[] }

/** alpha_bar of a linear schedule of `count` betas from `start` to `end`, both included. */
export function linearAlphaBar(count: number, start: number, end: number): Float64Array {
  let product = 1;
  return Float64Array.from({ length: count }, (_, t) => (product *= 1 - (start + ((end - start) * t) / (count - 1))));
}

/** Time steps from noise to image: the last of each of `steps` equal parts. */
export function ddimTimes(count: number, steps: number): number[] {
  const stride = count / steps;
  return Array.from({ length: steps }, (_, i) => stride * (steps - i) - 1);
}

/** Images from start noise; x0 is held in −1…1 at every step and the noise computed again from it. */
export async function ddimSample(predict: Predict, noise: Tensor, labels: readonly number[], settings: DdimSettings, visit?: (asked: Asked) => void): Promise<Float32Array> {
  const { alphaBar, steps, guidance, noLabel } = settings;
  const x = Float32Array.from(noise.data as Float32Array);
  const both = guidance !== 1;
  const asked = both ? [...labels, ...labels.map(() => noLabel)] : labels;
  const times = ddimTimes(alphaBar.length, steps);
  for (const [step, t] of times.entries()) {
    const doubled = new Float32Array(x.length * (both ? 2 : 1));
    for (let at = 0; at < doubled.length; at += x.length) doubled.set(x, at);
    visit?.({ t, x: doubled, labels: asked });
    const eps = await predict({ type: 'f32', shape: [asked.length, ...noise.shape.slice(1)], data: doubled }, t, asked);
    const a = alphaBar[t];
    const before = step + 1 < steps ? alphaBar[times[step + 1]] : 1;
    for (let i = 0; i < x.length; i++) {
      const guided = both ? eps[x.length + i] + guidance * (eps[i] - eps[x.length + i]) : eps[i];
      const x0 = Math.min(1, Math.max(-1, (x[i] - Math.sqrt(1 - a) * guided) / Math.sqrt(a)));
      const left = (x[i] - Math.sqrt(a) * x0) / Math.sqrt(1 - a);
      x[i] = Math.sqrt(before) * x0 + Math.sqrt(1 - before) * left;
    }
  }
  return x;
}

/**
 * `count` of what the network was asked, spread evenly over the time steps; which rows of a step, the order says
 * (`pick(step, rows)` is a permutation of its rows).
 */
export function pointsOf(visited: readonly Asked[], count: number, pick: (step: number, rows: number) => ArrayLike<number>, shape: readonly number[]): Record<'x' | 't' | 'y', Tensor> {
  const size = shape.reduce((product, dim) => product * dim, 1);
  const x = new Float32Array(count * size);
  const [t, y]: [number[], number[]] = [[], []];
  visited.forEach((asked, step) => {
    const order = pick(step, asked.labels.length);
    const taken = Math.round(((step + 1) * count) / visited.length) - Math.round((step * count) / visited.length);
    for (const row of Array.from(order).slice(0, taken)) {
      x.set(asked.x.subarray(row * size, (row + 1) * size), t.length * size);
      t.push(asked.t);
      y.push(asked.labels[row]);
    }
  });
  return { x: { type: 'f32', shape: [count, ...shape], data: x }, t: i64([count], t), y: i64([count], y) };
}
