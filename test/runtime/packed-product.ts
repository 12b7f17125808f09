/** Products of packed matrices by kernels or their plain twins, and what float64 gives of the same inputs. */
import assert from 'node:assert/strict';
import { inputBytes, type LowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { multiply, packMatrix, takeRounded, type PackedMatrix } from '../../src/runtime/packed-matrix.ts';
import type { TensorRef } from '../../src/tensor-ref.ts';

/** Results [tokens, stride]; rounded inputs lie at `at` in the arena, which were `x` [tokens, cols up to whole groups]. */
export interface PackedProduct { readonly out: Float32Array; readonly arena: Arena; readonly matrix: PackedMatrix; readonly at: number; readonly x: Float32Array; readonly stride: number; readonly tokens: number }

/** A matrix times tokens of normal values, which are rounded to 8 or 16 bits. */
export async function packedProduct(kernels: (memory: WebAssembly.Memory) => LowBitKernels, tensor: TensorRef, tokens: number, bits: 8 | 16): Promise<PackedProduct> {
  const [height, width] = tensor.shape;
  const [padded, stride] = [Math.ceil(width / 32) * 32, Math.ceil(height / 4) * 4];
  const arena = new Arena();
  const matrix = await packMatrix(tensor, arena);
  const [x, out] = [arena.take(4 * tokens * padded), arena.take(4 * tokens * stride)];
  const rounded = takeRounded(arena, tokens, padded, bits);
  arena.floats(x, tokens * padded).forEach((_, i, all) => { all[i] = i % padded < width ? normal(10, 0, i) : 0; });
  const run = kernels(arena.memory);
  run.roundInputs(x, (tokens * padded) / 32, rounded);
  multiply(run, matrix, { x, rounded }, tokens, out, stride);
  return { out: arena.floats(out, tokens * stride).slice(), arena, matrix, at: rounded.at, x: arena.floats(x, tokens * padded).slice(), stride, tokens };
}

/** Outputs of row `r`, whose values are given, are sums with the rounded inputs within `bound` of the sum of magnitudes. */
export function assertSums({ out, arena, at, x, stride, tokens }: PackedProduct, r: number, values: Float32Array, bound: number): void {
  const groups = x.length / tokens / 32;
  for (let t = 0; t < tokens; t++) {
    let [expected, size] = [0, 0];
    values.forEach((value, c) => {
      const record = at + (t * groups + Math.floor(c / 32)) * inputBytes;
      const term = value * new Int16Array(arena.memory.buffer, record, 32)[c % 32] * arena.floats(record + 128, 1)[0];
      expected += term;
      size += Math.abs(term);
    });
    assert.ok(Math.abs(out[t * stride + r] - expected) <= bound * size, `token ${t}, row ${r}: ${out[t * stride + r]} where ${expected} belongs`);
  }
}
