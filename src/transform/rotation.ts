/**
 * An orthogonal matrix that turns channels: all of them where a matrix of the width is at hand, else runs of channels side
 * by side by one smaller matrix. y = x·Wᵀ = (x·M)·(W·M)ᵀ, so that outliers spread over channels and nothing else changes.
 */
import { hadamardFast } from '../engine/kernels/hadamard.ts';
import { hadamardFactors, hadamardMatrix, hadamardTransform, largestHadamardOrder } from '../numeric/hadamard.ts';
import { uniform } from '../numeric/random.ts';

export interface Rotation {
  /** Channels that are turned; `order` divides it. */
  readonly width: number;
  readonly order: number;
  /** M, orthogonal, row-major [order, order]. */
  readonly matrix: Float32Array;
  /** M = diag(signs)·(left ⊗ right) where M is a Hadamard matrix with signs: two small products in the place of a large one, and a fast transform of weights. */
  readonly factors?: RotationFactors;
}

export interface RotationFactors {
  /** ±1, [order]; absent where all are 1. */
  readonly signs?: Float32Array;
  /** Symmetric, row-major; the product of their orders is the rotation's. */
  readonly left: Float32Array;
  readonly right: Float32Array;
}

/** Hadamard with signs drawn by a seed before it (QuIP#, arXiv:2402.04396); undefined leaves the signs alone. */
export function hadamardRotation(width: number, seed?: number): Rotation {
  const order = largestHadamardOrder(width);
  const signs = Float32Array.from({ length: order }, (_, i) => (seed === undefined || uniform(seed, 0, i) < 0.5 ? 1 : -1));
  const right = splitOf(order);
  const factors = right === undefined ? undefined : { ...(seed === undefined ? {} : { signs }), left: hadamardMatrix(order / right), right: hadamardMatrix(right) };
  let matrix: Float32Array | undefined;
  return {
    width, order, ...(factors === undefined ? {} : { factors }),
    // Where there are factors hardly anyone asks for it.
    get matrix() {
      if (matrix === undefined) {
        const diagonal = new Float32Array(order * order);
        for (let i = 0; i < order; i++) diagonal[i * order + i] = signs[i];
        matrix = hadamardFast(diagonal, order);
      }
      return matrix;
    },
  };
}

/** Below this one product is as cheap as two. */
const smallestSplit = 64;

/** Order of the right factor that splits a Hadamard matrix most evenly: Sylvester's split anywhere, Paley's stay whole. */
function splitOf(order: number): number | undefined {
  const orders = hadamardFactors(order);
  if (orders === undefined || order < smallestSplit) return undefined;
  const last = orders.at(-1)!;
  if (orders.length > 1) return last;
  return Number.isInteger(Math.log2(last)) ? 2 ** Math.ceil(Math.log2(last) / 2) : undefined;
}

/** Rows [count, width] times the rotation, or with `back` times its inverse; sums in float64. */
export function turnRows(values: ArrayLike<number>, rotation: Rotation, back = false): Float32Array {
  const { order, factors } = rotation;
  if (factors !== undefined) {
    const { signs } = factors;
    type Rows = Float32Array | Float64Array;
    const rows: Rows = values instanceof Float32Array ? values : Float64Array.from(values);
    const signed = <T extends Rows>(x: T): T => (signs === undefined ? x : (x.map((v, i) => v * signs[i % order]) as T));
    const turned = (x: Rows): Float32Array => (x instanceof Float32Array ? hadamardFast(x, order) : hadamardTransform(x, order));
    return back ? signed(turned(rows)) : turned(signed(rows));
  }
  const { matrix } = rotation;
  const out = new Float32Array(values.length);
  const sums = new Float64Array(order);
  for (let start = 0; start < values.length; start += order) {
    sums.fill(0);
    for (let i = 0; i < order; i++) {
      const x = values[start + i];
      if (back) for (let j = 0; j < order; j++) sums[j] += x * matrix[j * order + i];
      else for (let j = 0; j < order; j++) sums[j] += x * matrix[i * order + j];
    }
    for (let j = 0; j < order; j++) out[start + j] = sums[j];
  }
  return out;
}

/** What the manifest says of a width that no single matrix covers. */
export const rotationNote = ({ width, order }: Rotation): string | undefined =>
  (order === width ? undefined : `${width} channels are turned in ${width / order} blocks of ${order}: no Hadamard matrix of the whole width is built here`);
