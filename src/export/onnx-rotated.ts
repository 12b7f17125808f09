/**
 * Turning a matrix back in standard operators: W = S·H·W̃·H·S. A Hadamard matrix of order a·b is the Kronecker product of
 * those of a and b, so that the file holds two small matrices of signs for each width and the runtime folds the products
 * into the float matrix when it loads the model.
 */
import { hadamardMatrix } from '../numeric/hadamard.ts';
import { floatTensor } from '../tensor-ref.ts';
import { rotationOrder, rotationSigns } from '../formats/rotated.ts';
import { reshaped } from './onnx-unpack.ts';
import type { Emit } from './onnx-weight-only.ts';

/** W [rows, cols] of W̃. */
export function turnedBack(matrix: string, rows: number, cols: number, emit: Emit): string {
  const right = emit.node('Mul', [alongRows(matrix, rows, cols, emit), emit.weight(floatTensor(`signs_${cols}`, [1, cols], rotationSigns(cols)))]);
  return emit.node('Mul', [alongColumns(right, rows, cols, emit), emit.weight(floatTensor(`signs_of_${rows}`, [rows, 1], rotationSigns(rows)))]);
}

const hadamard = (order: number, emit: Emit): string => emit.weight(floatTensor(`hadamard_${order}`, [order, order], hadamardMatrix(order)));

/** The two factors of a power of two, the first at least as large. */
function factors(order: number): readonly [number, number] {
  const a = 2 ** Math.ceil(Math.log2(order) / 2);
  return [a, order / a];
}

function alongRows(value: string, rows: number, cols: number, emit: Emit): string {
  const [a, b] = factors(rotationOrder(cols));
  if (a === 1) return value;
  const count = (rows * cols) / (a * b);
  const inner = b === 1 ? value : emit.node('MatMul', [reshaped(value, [count * a, b], emit), hadamard(b, emit)]);
  return reshaped(emit.node('MatMul', [hadamard(a, emit), reshaped(inner, [count, a, b], emit)]), [rows, cols], emit);
}

function alongColumns(value: string, rows: number, cols: number, emit: Emit): string {
  const [a, b] = factors(rotationOrder(rows));
  if (a === 1) return value;
  const count = rows / (a * b);
  const inner = b === 1 ? value : emit.node('MatMul', [hadamard(b, emit), reshaped(value, [count * a, b, cols], emit)]);
  return reshaped(emit.node('MatMul', [hadamard(a, emit), reshaped(inner, [count, a, b * cols], emit)]), [rows, cols], emit);
}
