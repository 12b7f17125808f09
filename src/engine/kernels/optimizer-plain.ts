/** The loops of optimizers as plain TypeScript: they judge the kernel, and serve arrays that do not lie in its memory. */

export interface MomentumSettings { readonly rate: number; readonly decay: number; readonly momentum: number; readonly nesterov: boolean }

export interface AdaptiveSettings {
  /** Factor on the parameter: 1, or less for decay that is not seen by the moments. */
  readonly shrink: number;
  /** Decay that is added to the gradient. */
  readonly coupled: number;
  readonly beta1: number;
  readonly beta2: number;
  /** Learning rate over what the first moment lacks of its start. */
  readonly size: number;
  /** 1 / √ of what the second moment lacks of its start. */
  readonly spread: number;
  readonly epsilon: number;
}

/** All change their first argument, and moments, in place: float32 arrays of one length, float64 in between. */
export interface UpdateLoops {
  /** p ← shrink · p − rate · g */
  descend(p: Float32Array, g: Float32Array, shrink: number, rate: number): void;
  /** v ← momentum · v + g + decay · p; p ← p − rate · v, or what Nesterov's look ahead makes of v. */
  roll(p: Float32Array, g: Float32Array, v: Float32Array, settings: MomentumSettings): void;
  /** p ← shrink · p − size · m / (spread · √v + epsilon) with moments m and v of g + coupled · p. */
  adapt(p: Float32Array, g: Float32Array, m: Float32Array, v: Float32Array, settings: AdaptiveSettings): void;
  /** x ← a · x + b · y */
  mix(x: Float32Array, y: Float32Array, a: number, b: number): void;
  /** x ← factor · x */
  scale(x: Float32Array, factor: number): void;
  /** Σ x² */
  squares(x: Float32Array): number;
}

export const plainUpdates: UpdateLoops = {
  descend(p, g, shrink, rate) {
    for (let i = 0; i < p.length; i++) p[i] = shrink * p[i] - rate * g[i];
  },
  roll(p, g, v, { rate, decay, momentum, nesterov }) {
    for (let i = 0; i < p.length; i++) {
      const slope = g[i] + decay * p[i];
      const speed = momentum * v[i] + slope;
      v[i] = speed;
      p[i] -= rate * (nesterov ? slope + momentum * speed : speed);
    }
  },
  adapt(p, g, m, v, { shrink, coupled, beta1, beta2, size, spread, epsilon }) {
    for (let i = 0; i < p.length; i++) {
      const slope = g[i] + coupled * p[i];
      const first = beta1 * m[i] + (1 - beta1) * slope;
      const second = beta2 * v[i] + (1 - beta2) * slope * slope;
      m[i] = first;
      v[i] = second;
      p[i] = shrink * p[i] - (size * first) / (Math.sqrt(second) * spread + epsilon);
    }
  },
  mix(x, y, a, b) {
    for (let i = 0; i < x.length; i++) x[i] = a * x[i] + b * y[i];
  },
  scale(x, factor) {
    for (let i = 0; i < x.length; i++) x[i] *= factor;
  },
  // Four chains of additions, which a processor runs side by side.
  squares(x) {
    let [a, b, c, d] = [0, 0, 0, 0];
    const whole = x.length & ~3;
    for (let i = 0; i < whole; i += 4) {
      a += x[i] * x[i];
      b += x[i + 1] * x[i + 1];
      c += x[i + 2] * x[i + 2];
      d += x[i + 3] * x[i + 3];
    }
    for (let i = whole; i < x.length; i++) a += x[i] * x[i];
    return a + b + (c + d);
  },
};
