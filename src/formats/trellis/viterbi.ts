/**
 * The path through a bit-shift trellis that is nearest to a sequence (Viterbi, 1967), with the minimum over predecessors
 * shared by all states of one prefix: state s follows p with p mod 2^(L−k) = s >> k, so 2^k successors have the same
 * predecessors. Float32, one rounding per operation; ties go to the lowest predecessor. The judge of the kernel.
 */

/** States are L bits; a step shifts k new bits in from below. */
export interface Trellis {
  readonly stateBits: number;
  readonly stepBits: number;
  readonly perState: 1 | 2;
  /** First weights of all states, then second ones: [perState, 2^stateBits]. */
  readonly values: Float32Array;
}

/** Finds states of sequences of `length` weights, one after another in `sequences`; result [count, steps]. */
export type TrellisEncoder = (trellis: Trellis, sequences: Float32Array, length: number) => Uint16Array;

/**
 * Every sequence in two passes, so that it bites its tail (the state before the first is the last, and no bits are spent
 * on a start): a free pass over the sequence turned by half finds the prefix in the middle, and a second pass starts and
 * ends with that prefix.
 */
export const encodeTrellis: TrellisEncoder = (trellis, sequences, length) => {
  const steps = length / trellis.perState;
  const states = new Uint16Array(sequences.length / trellis.perState);
  for (let at = 0; at < sequences.length; at += length) {
    const sequence = sequences.subarray(at, at + length);
    const half = (steps >> 1) * trellis.perState;
    const turned = new Float32Array(length);
    turned.set(sequence.subarray(half));
    turned.set(sequence.subarray(0, half), length - half);
    const middle = viterbi(trellis, turned)[steps - (steps >> 1)];
    states.set(viterbi(trellis, sequence, middle >>> trellis.stepBits), at / trellis.perState);
  }
  return states;
};

/** States of the nearest path, which starts from `prefix` and ends in it where one is given. */
export function viterbi({ stateBits, stepBits, perState, values }: Trellis, sequence: Float32Array, prefix?: number): Uint16Array {
  const steps = sequence.length / perState;
  const prefixes = 2 ** (stateBits - stepBits);
  const fan = 2 ** stepBits;
  const second = 2 ** stateBits;
  let costs = new Float32Array(prefixes).fill(prefix === undefined ? 0 : Infinity);
  if (prefix !== undefined) costs[prefix] = 0;
  const back = new Uint16Array(steps * prefixes);
  for (let t = 0; t < steps; t++) {
    const next = new Float32Array(prefixes).fill(Infinity);
    const x = sequence[t * perState];
    const y = perState === 2 ? sequence[t * 2 + 1] : 0;
    const row = t * prefixes;
    for (let j = 0; j < fan; j++) {
      const from = j * prefixes;
      for (let o = 0; o < prefixes; o++) {
        const s = from + o;
        const d = Math.fround(values[s] - x);
        let distance = Math.fround(d * d);
        if (perState === 2) {
          const e = Math.fround(values[second + s] - y);
          distance = Math.fround(distance + Math.fround(e * e));
        }
        const cost = Math.fround(costs[s >>> stepBits] + distance);
        if (cost < next[o]) {
          next[o] = cost;
          back[row + o] = j;
        }
      }
    }
    costs = next;
  }
  let o = prefix ?? costs.reduce((best, cost, i) => (cost < costs[best] ? i : best), 0);
  const states = new Uint16Array(steps);
  for (let t = steps - 1; t >= 0; t--) {
    states[t] = o + back[t * prefixes + o] * prefixes;
    o = states[t] >>> stepBits;
  }
  return states;
}
