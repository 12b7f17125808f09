/**
 * What the states of a trellis stand for (QTIP, Tseng et al. 2024, section 3): one or two weights computed from the bits of
 * a state, in arithmetic modulo 2^32, so that neighbouring states look unrelated.
 */
import { f16ToF32 } from '../../numeric/half.ts';
import { gaussianPoints } from '../gaussian-vectors.ts';

export type TrellisCode = '1mad' | '3inst' | 'hyb';

/** Weights per state. */
export const weightsPerState: Readonly<Record<TrellisCode, 1 | 2>> = { '1mad': 1, '3inst': 1, hyb: 2 };

/** A multiply and an add, then the sum of the four bytes as a normal deviate. */
export function oneMad(state: number): number {
  const y = (Math.imul(34038481, state) + 76625530) >>> 0;
  return ((y & 255) + ((y >>> 8) & 255) + ((y >>> 16) & 255) + (y >>> 24) - 510) / 147.800537109375;
}

/** A multiply and an add, then masked bits as two half-precision numbers, summed. */
export function threeInst(state: number): number {
  const y = (Math.imul(89226354, state) + 64248484) >>> 0;
  const r = ((y & 0x8fff8fff) ^ 0x3b603b60) >>> 0;
  return f16ToF32(r >>> 16) + f16ToF32(r & 0xffff);
}

/** Entry of a table of 2^entryBits pairs, and whether the first of the pair changes its sign. */
export function hybrid(state: number, entryBits: number): { readonly entry: number; readonly negative: boolean } {
  const t = Math.imul(state + 1, state) >>> 0;
  return { entry: (t >>> (15 - entryBits)) & ((1 << entryBits) - 1), negative: ((t >>> 15) & 1) === 1 };
}

/** Bits that select the entry of the table of pairs: more where a step takes in more bits. */
export const entryBitsOf = (stepBits: number): number => Math.min(11, Math.max(9, stepBits + 1));

/** The table of pairs [2^entryBits, 2] that hybrid states select from: points for the half plane, scaled to unit mean square. */
export function pairTable(entryBits: number): Float32Array {
  const { x, y } = gaussianPoints(2 ** entryBits, true);
  const pairs = Float64Array.from({ length: 2 * x.length }, (_, i) => (i & 1 ? y[i >> 1] : x[i >> 1]));
  return unitMeanSquare(pairs);
}

/** Values of all 2^stateBits states at unit mean square: first weights of all states, then second ones. */
export function stateValues(code: TrellisCode, stateBits: number, stepBits: number): Float32Array {
  const states = 2 ** stateBits;
  if (code !== 'hyb') return unitMeanSquare(Float64Array.from({ length: states }, (_, s) => (code === '1mad' ? oneMad(s) : threeInst(s))));
  const entryBits = entryBitsOf(stepBits);
  const pairs = pairTable(entryBits);
  const values = new Float64Array(2 * states);
  for (let s = 0; s < states; s++) {
    const { entry, negative } = hybrid(s, entryBits);
    values[s] = negative ? -pairs[2 * entry] : pairs[2 * entry];
    values[states + s] = pairs[2 * entry + 1];
  }
  return Float32Array.from(values);
}

function unitMeanSquare(values: Float64Array): Float32Array {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  const root = Math.sqrt(sum / values.length);
  return Float32Array.from(values, (x) => x / root);
}
