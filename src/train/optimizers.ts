/**
 * Optimizers on plain arrays: gradients leave the engine, parameters stay in place. One pass over the numbers costs less
 * than the element-wise operators it replaces, and runs the same in Node and in the browser.
 */
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
  /** Changes the parameter and its state in place. */
  update(parameter: Float32Array, gradient: Float32Array, state: readonly Float32Array[], step: UpdateStep): void;
}

export interface SgdOptions { readonly momentum?: number; readonly nesterov?: boolean }

/** Stochastic gradient descent; decay is added to the gradient. */
export function sgd({ momentum = 0, nesterov = false }: SgdOptions = {}): Optimizer {
  return {
    name: momentum === 0 ? 'sgd' : `sgd with momentum ${momentum}`,
    slots: momentum === 0 ? 0 : 1,
    update(parameter, gradient, [velocity], { rate, decay }) {
      if (momentum === 0) {
        const shrink = 1 - rate * decay;
        for (let i = 0; i < parameter.length; i++) parameter[i] = shrink * parameter[i] - rate * gradient[i];
        return;
      }
      for (let i = 0; i < parameter.length; i++) {
        const g = gradient[i] + decay * parameter[i];
        const v = momentum * velocity[i] + g;
        velocity[i] = v;
        parameter[i] -= rate * (nesterov ? g + momentum * v : v);
      }
    },
  };
}

export interface AdamOptions { readonly beta1?: number; readonly beta2?: number; readonly epsilon?: number }

function moments(name: string, decoupled: boolean, { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }: AdamOptions): Optimizer {
  return {
    name,
    slots: 2,
    update(parameter, gradient, [first, second], { rate, decay, step }) {
      const size = rate / (1 - beta1 ** step);
      const spread = 1 / Math.sqrt(1 - beta2 ** step);
      const shrink = decoupled ? 1 - rate * decay : 1;
      const coupled = decoupled ? 0 : decay;
      for (let i = 0; i < parameter.length; i++) {
        const g = gradient[i] + coupled * parameter[i];
        const m = beta1 * first[i] + (1 - beta1) * g;
        const v = beta2 * second[i] + (1 - beta2) * g * g;
        first[i] = m;
        second[i] = v;
        parameter[i] = shrink * parameter[i] - (size * m) / (Math.sqrt(v) * spread + epsilon);
      }
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
  update(parameter, gradient, state, step) {
    const before = parameter.slice();
    optimizer.update(parameter, gradient, state, step);
    for (let i = 0; i < parameter.length; i++) parameter[i] = before[i] + (parameter[i] - before[i]) / units[i];
  },
});
