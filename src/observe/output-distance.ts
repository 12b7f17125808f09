/** How far the outputs of a changed network lie from those of the float network, as one number that adds up over small changes. */
import type { Tensor } from '../engine/tensor.ts';
import type { ValueInfo } from '../graph/graph.ts';
import { areProbabilities, klDivergence, logProbabilities, logSoftmax } from '../numeric/distribution.ts';
import { floatsOf } from './taps.ts';

/** `kl`: mean KL(float ‖ changed) of the class scores or logits, nats. `noise`: power of the difference by power of the output, mean over outputs. */
export type Distance = 'kl' | 'noise';

export type Outputs = Readonly<Record<string, Tensor>>;

/** Numbers of distributions that are compared at most; rows are taken at equal steps beyond. */
const mostCompared = 2 ** 22;

/** The outputs that a distance looks at: the scores, or every float output but caches. */
export function comparedOutputs(outputs: readonly ValueInfo[], distance: Distance): string[] {
  const shown = outputs.filter(({ name, type }) => !name.startsWith('present') && (type === undefined || type === 'f32' || type === 'f16' || type === 'f64'));
  const scores = shown.find(({ name }) => name === 'logits') ?? shown[0] ?? outputs[0];
  return distance === 'kl' ? [scores.name] : shown.map(({ name }) => name);
}

/** From the outputs of the float network over batches to the distance of others, which hold the same outputs. */
export const distanceTo = (distance: Distance, float: readonly Outputs[]): ((changed: readonly Outputs[]) => number) =>
  (distance === 'kl' ? divergenceFrom(float) : (changed) => noise(float, changed));

function divergenceFrom(float: readonly Outputs[]): (changed: readonly Outputs[]) => number {
  const [name] = Object.keys(float[0]);
  const total = float.reduce((sum, outputs) => sum + outputs[name].data.length, 0);
  const step = Math.max(1, Math.ceil(total / mostCompared));
  const rows = float.flatMap((outputs, batch) => {
    const width = outputs[name].shape.at(-1)!;
    const values = floatsOf(name, outputs[name]);
    const logs = areProbabilities(values, width) ? logProbabilities : logSoftmax;
    return Array.from({ length: Math.ceil(values.length / (width * step)) }, (_, i) => ({ batch, at: i * width * step, width, logs, own: logs(values, i * width * step, width) }));
  });
  return (changed) => {
    const values = changed.map((outputs) => floatsOf(name, outputs[name]));
    return rows.reduce((sum, { batch, at, width, logs, own }) => sum + klDivergence(own, logs(values[batch], at, width)), 0) / rows.length;
  };
}

function noise(float: readonly Outputs[], changed: readonly Outputs[]): number {
  const names = Object.keys(float[0]);
  let total = 0;
  for (const name of names) {
    let signal = 0, difference = 0;
    float.forEach((outputs, batch) => {
      const [a, b] = [floatsOf(name, outputs[name]), floatsOf(name, changed[batch][name])];
      for (let i = 0; i < a.length; i++) {
        signal += a[i] * a[i];
        difference += (a[i] - b[i]) ** 2;
      }
    });
    total += difference === 0 ? 0 : difference / signal;
  }
  return total / names.length;
}
