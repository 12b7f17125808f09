/** Some rows of a tensor as a tensor of their own: floats, and codes with their scales. */
import type { MatrixCodes } from '../formats/coded.ts';
import type { TensorRef } from '../tensor-ref.ts';

/** Rows from `first`, [count, …]. */
export function rowsOf(tensor: TensorRef, first: number, count: number): TensorRef {
  const [rows, ...rest] = tensor.shape;
  const rowBytes = tensor.byteLength / rows;
  const { coded } = tensor;
  return {
    name: tensor.name, type: tensor.type, shape: [count, ...rest], byteLength: count * rowBytes,
    read: (begin = 0, end = count * rowBytes) => tensor.read(first * rowBytes + begin, first * rowBytes + end),
    ...(coded === undefined ? {} : { coded: { read: async () => sliced(await coded.read(), rows, first, count) } }),
  };
}

function sliced(codes: MatrixCodes | undefined, rows: number, first: number, count: number): MatrixCodes | undefined {
  if (codes === undefined) return undefined;
  const of = <T extends { slice(begin: number, end: number): T; readonly length: number }>(values: T): T => { const each = values.length / rows; return values.slice(first * each, (first + count) * each); };
  return { ...codes, codes: of(codes.codes), scales: of(codes.scales), ...(codes.zeros === undefined ? {} : { zeros: of(Float32Array.from(codes.zeros)) }) };
}
