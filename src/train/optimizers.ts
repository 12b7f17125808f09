/**
 * Optimizers on plain arrays: gradients leave the engine, parameters stay in place. One pass over the numbers costs less
 * than the element-wise operators it replaces, and gives the same bits in Node and in the browser.
 */
import { plainUpdates, type UpdateLoops } from '../engine/kernels/optimizer-plain.ts';

export interface UpdateStep {
  /** Learning rate of this step. */
  readonly rate: number;
  /** Weight decay. */
  readonly decay: number;
  /** Steps taken including this one: 1, 2, … */
  readonly step: number;
}

export interface Optimizer {
  readonly name: string;
  /** State arrays per parameter, each of the parameter's size, zero at the start. */
  readonly slots: number;
  /** Changes the parameter and its state in place, with the loops of the memory that they lie in; default plain ones. */
  update(parameter: Float32Array, gradient: Float32Array, state: readonly Float32Array[], step: UpdateStep, loops?: UpdateLoops): void;
}

export interface SgdOptions { readonly momentum?: number; readonly nesterov?: boolean }

/** Stochastic gradient descent; decay is added to the gradient. */
export function sgd({ momentum = 0, nesterov = false }: SgdOptions = {}): Optimizer {
  return {
    name: momentum === 0 ? 'sgd' : `sgd with momentum ${momentum}`,
    slots: momentum === 0 ? 0 : 1,
    update(parameter, gradient, [velocity], { rate, decay }, loops = plainUpdates) {
      if (momentum === 0) loops.descend(parameter, gradient, 1 - rate * decay, rate);
      else loops.roll(parameter, gradient, velocity, { rate, decay, momentum, nesterov });
    },
  };
}

export interface AdamOptions { readonly beta1?: number; readonly beta2?: number; readonly epsilon?: number }

function moments(name: string, decoupled: boolean, { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }: AdamOptions): Optimizer {
  return {
    name,
    slots: 2,
    update(parameter, gradient, [first, second], { rate, decay, step }, loops = plainUpdates) {
      loops.adapt(parameter, gradient, first, second, {
        shrink: decoupled ? 1 - rate * decay : 1, coupled: decoupled ? 0 : decay, beta1, beta2,
        size: rate / (1 - beta1 ** step), spread: 1 / Math.sqrt(1 - beta2 ** step), epsilon,
      });
    },
  };
}

/** Adam (arXiv:1412.6980); decay is added to the gradient. */
export const adam = (options: AdamOptions = {}): Optimizer => moments('adam', false, options);
/** Adam with decoupled decay (arXiv:1711.05101). */
export const adamw = (options: AdamOptions = {}): Optimizer => moments('adamw', true, options);

/** Leaves what received no gradient as it is, with its state: rows of tables that a step did not use. */
export const lazy = (optimizer: Optimizer): Optimizer => ({
  ...optimizer,
  name: `lazy ${optimizer.name}`,
  update(parameter, gradient, state, step) {
    const used: number[] = [];
    gradient.forEach((g, i) => { if (g !== 0) used.push(i); });
    const take = (values: Float32Array): Float32Array => Float32Array.from(used, (i) => values[i]);
    const [values, slots] = [take(parameter), state.map(take)];
    optimizer.update(values, take(gradient), slots, step);
    used.forEach((i, k) => {
      parameter[i] = values[k];
      slots.forEach((slot, s) => { state[s][i] = slot[k]; });
    });
  },
});

/** Steps as though each element were counted in its own unit: those of an optimizer that is blind to the size of gradients, divided by the unit. */
export const inUnits = (optimizer: Optimizer, units: Float32Array): Optimizer => ({
  ...optimizer,
  name: `${optimizer.name} in units`,
  update(parameter, gradient, state, step, loops) {
    const before = parameter.slice();
    optimizer.update(parameter, gradient, state, step, loops);
    for (let i = 0; i < parameter.length; i++) parameter[i] = before[i] + (parameter[i] - before[i]) / units[i];
  },
});
