/**
 * Output error of layers that share an input, with what W4A4 does in place: the input rounded as it is measured, the
 * weights rounded to nearest, and a float branch of low rank beside them that sees the input as it was. Products run on
 * the engine.
 */
import { encodeFast } from '../engine/kernels/scales.ts';
import type { Engine } from '../engine/session.ts';
import { onnxBytes } from '../files/onnx.ts';
import type { NumberFormat } from '../formats/format.ts';
import { GraphBuilder, int } from '../graph/build.ts';
import type { InputRows } from '../observe/input-rows.ts';

/** One layer: its matrix [rows, cols], and the format that its weight takes. */
export interface LayerWeight { readonly values: Float32Array; readonly rows: number; readonly format: NumberFormat }

/** Layers that read one value, with rows of it; `input` is the format that the value takes, undefined leaves it float. */
export interface SharedLayers {
  readonly rows: Pick<InputRows, 'values' | 'count' | 'cols' | 'maxAbsolute'>;
  readonly layers: readonly LayerWeight[];
  readonly input: NumberFormat | undefined;
}

export interface Products {
  /** aᵀ·a for a [rows, cols], float32. */
  gram(a: Float32Array, cols: number): Promise<Float32Array>;
  /** ‖x·aᵀ − y·bᵀ‖² for x, y [count, cols] and a, b [rows, cols]. */
  difference(x: Float32Array, a: Float32Array, y: Float32Array, b: Float32Array, count: number, rows: number): Promise<number>;
  dispose(): Promise<void>;
}

export async function openProducts(engine: Engine): Promise<Products> {
  const g = new GraphBuilder('difference', 21);
  const [x, y] = ['x', 'y'].map((name) => g.input(name, 'f32', ['count', 'cols']));
  const [a, b] = ['a', 'b'].map((name) => g.input(name, 'f32', ['rows', 'cols']));
  const product = (left: string, right: string): string => g.op('Gemm', [left, right], { transB: int(1) });
  g.output(g.op('ReduceSumSquare', [g.op('Sub', [product(x, a), product(y, b)])], { keepdims: int(0) }), 'error', 'f32', []);
  const session = await engine.open({ bytes: await onnxBytes(g.graph()) });
  const own = new GraphBuilder('gram', 21);
  const m = own.input('a', 'f32', ['rows', 'cols']);
  own.output(own.op('Gemm', [m, m], { transA: int(1) }), 'gram', 'f32', ['cols', 'cols']);
  const square = await engine.open({ bytes: await onnxBytes(own.graph()) });
  return {
    async gram(a, cols) {
      const { gram } = await square.run({ a: { type: 'f32', shape: [a.length / cols, cols], data: a } });
      return gram.data as Float32Array;
    },
    async difference(left, first, right, second, count, rows) {
      const cols = left.length / count;
      const matrix = (data: Float32Array, height: number) => ({ type: 'f32' as const, shape: [height, cols], data });
      const { error } = await session.run({ x: matrix(left, count), y: matrix(right, count), a: matrix(first, rows), b: matrix(second, rows) });
      return (error.data as Float32Array)[0];
    },
    async dispose() {
      await session.dispose();
      await square.dispose();
    },
  };
}

/** What a format makes of a matrix. */
export function rounded(values: Float32Array, rows: number, cols: number, format: NumberFormat | undefined): Float32Array {
  return format === undefined ? values : format.decode(encodeFast(format, values, rows, cols) ?? format.encode(values, rows, cols));
}

/** Σ‖X·Rᵀ − Q(X)·Q(R)ᵀ‖² over layers, for what is left of each weight beside the branch; `decoded` are the Q(R). */
export async function layerError(products: Products, { rows: { values, count, cols }, input }: SharedLayers, residuals: readonly Float32Array[], decoded: readonly Float32Array[]): Promise<number> {
  const seen = rounded(values, count, cols, input);
  let total = 0;
  for (const [i, residual] of residuals.entries()) total += await products.difference(values, residual, seen, decoded[i], count, residual.length / cols);
  return total;
}

/** Σ‖X·Wᵀ‖² over layers: what errors are relative to. */
export async function layerEnergy(products: Products, { rows: { values, count, cols }, layers }: SharedLayers): Promise<number> {
  let total = 0;
  for (const { values: weight, rows } of layers) total += await products.difference(values, weight, values, new Float32Array(weight.length), count, rows);
  return cols === 0 ? 0 : total;
}
