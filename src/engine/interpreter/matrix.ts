/** Operators that are sums of products. */
import { combined, mapped } from './elementwise.ts';
import type { Operator, Operators } from './call.ts';
import { transposed } from './movement.ts';
import { fit } from './types.ts';
import { broadcastShape, broadcastStrides, dot, forEachIndex, reader, reshaped, sizeOf, tabulate, type Value64 } from './value.ts';

/** a · b over the last two axes, the others broadcast; a vector is a row on the left and a column on the right. */
export function matmul(left: Value64, right: Value64, type = left.type): Value64 {
  const a = left.shape.length === 1 ? reshaped(left, [1, ...left.shape]) : left;
  const b = right.shape.length === 1 ? reshaped(right, [...right.shape, 1]) : right;
  const [rows, depth, columns] = [a.shape.at(-2)!, a.shape.at(-1)!, b.shape.at(-1)!];
  // Inner dimensions that differ do not broadcast either.
  broadcastShape([[depth], b.shape.slice(-2, -1)]);
  const batch = broadcastShape([a.shape.slice(0, -2), b.shape.slice(0, -2)]);
  const as = broadcastStrides(a.shape, [...batch, rows, depth]);
  const bs = broadcastStrides(b.shape, [...batch, depth, columns]);
  const [stepA, stepB] = [as.pop()!, bs.splice(-2, 1)[0]];
  // What is left of the strides finds row i of a and column j of b.
  const shape = [...batch, rows, columns];
  const [row, column] = [[...as, 0], [...bs.slice(0, -1), 0, bs.at(-1)!]];
  const product = tabulate(type, shape, (index) => {
    const [from, against] = [dot(index, row), dot(index, column)];
    let total = 0;
    for (let k = 0; k < depth; k++) total += a.data[from + k * stepA] * b.data[against + k * stepB];
    return fit(type, total);
  });
  return reshaped(product, [...batch, ...(left.shape.length === 1 ? [] : [rows]), ...(right.shape.length === 1 ? [] : [columns])]);
}

/** The last two axes exchanged. */
export const matrixTransposed = (x: Value64): Value64 => {
  const axes = x.shape.map((_, axis) => axis);
  return transposed(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
};

const gemm: Operator = (call) => {
  const [alpha, beta] = [call.float('alpha', 1), call.float('beta', 1)];
  const a = call.flag('transA') ? matrixTransposed(call.input(0)) : call.input(0);
  const b = call.flag('transB') ? matrixTransposed(call.input(1)) : call.input(1);
  const product = mapped(matmul(a, b), (x) => alpha * x);
  const c = call.optional(2);
  return c === undefined ? product : combined(product, c, (x, y) => x + beta * y);
};

/** `transBatch` moves the first axis to just before the last. */
const fusedMatMul: Operator = (call) => {
  const arranged = (x: Value64, side: 'A' | 'B'): Value64 => {
    const axes = x.shape.map((_, axis) => axis);
    const batched = call.flag(`transBatch${side}`) ? transposed(x, [...axes.slice(1, -1), 0, axes.length - 1]) : x;
    return call.flag(`trans${side}`) && x.shape.length > 1 ? matrixTransposed(batched) : batched;
  };
  const alpha = call.float('alpha', 1);
  return mapped(matmul(arranged(call.input(0), 'A'), arranged(call.input(1), 'B')), (x) => alpha * x);
};

/** Every combination of all labels once: its product is added where the output labels say. An ellipsis stands for upper-case labels of its own. */
const einsum: Operator = (call) => {
  const [inputs, explicit] = call.text('equation').replaceAll(' ', '').split('->');
  const terms = inputs.split(',');
  const dots = terms.map((term, i) => call.input(i).shape.length - (term.length - 3)).filter((_, i) => terms[i].includes('...'));
  const longest = Math.max(0, ...dots);
  // Digits cannot be labels, so they name the axes of an ellipsis, aligned at its end.
  const ellipsis = Array.from({ length: longest }, (_, i) => String.fromCharCode(0xe000 + i)).join('');
  const labelsOf = (term: string, rank: number): string => term.replace('...', ellipsis.slice(ellipsis.length - (rank - (term.length - 3))));
  const labels = terms.map((term, i) => (term.includes('...') ? labelsOf(term, call.input(i).shape.length) : term));
  const joined = labels.join('');
  const implicit = (dots.length > 0 ? ellipsis : '') + [...new Set(joined)].filter((label) => !ellipsis.includes(label) && joined.split(label).length === 2).sort().join('');
  const output = explicit === undefined ? implicit : explicit.replace('...', ellipsis);
  const all = [...new Set([...output, ...joined])];
  const sizes = all.map((label) => Math.max(...labels.map((own, i) => (own.includes(label) ? call.input(i).shape[own.indexOf(label)] : 1))));
  const places = labels.map((own) => [...own].map((label) => all.indexOf(label)));
  const shape = sizes.slice(0, output.length);
  const result = new Float64Array(sizeOf(shape));
  const strides = broadcastStrides(shape, shape);
  const reads = call.inputs.map(reader);
  forEachIndex(sizes, (index) => {
    let product = 1;
    for (const [i, read] of reads.entries()) product *= read(places[i].map((label, axis) => (call.input(i).shape[axis] === 1 ? 0 : index[label])));
    result[dot(index, strides)] += product;
  });
  return { type: call.input(0).type, shape, data: result };
};

export const matrices: Operators = {
  MatMul: (call) => matmul(call.input(0), call.input(1)),
  Gemm: gemm,
  'com.microsoft:FusedMatMul': fusedMatMul,
  Einsum: einsum,
};
