/** Operators of ONNX Runtime that read packed codes with a scale and a zero point per block. */
import { unpackLowFirst } from '../../formats/packing/bits.ts';
import { combined } from './elementwise.ts';
import { place } from './gather.ts';
import type { Operator, Operators } from './call.ts';
import { axisOf, reader, tabulate, valueOf, type Value64 } from './value.ts';
import { matmul, matrixTransposed } from './matrix.ts';

/** Codes of a uint8 tensor whose last axis holds them packed, low bits first, `width` of them per row. */
function unpacked(packed: Value64, bits: number, width: number): Value64 {
  const rowBytes = packed.shape.at(-1)!;
  const rows = packed.data.length / rowBytes;
  const codes = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) codes.set(unpackLowFirst(Uint8Array.from(packed.data.subarray(row * rowBytes, (row + 1) * rowBytes)), width, bits), row * width);
  return valueOf('u8', packed.shape.with(-1, width), codes);
}

/** Zero points as codes: packed like the weights where they are bytes, plain where they are floats or fill a byte each. */
const zeroCodes = (zeros: Value64 | undefined, bits: number, width: number): Value64 | undefined =>
  (zeros?.type === 'u8' ? unpacked(zeros, bits, width) : zeros);

/** A · Wᵀ with W [N, K] from codes [N, blocks, bytes]; scales, and zero points (default half the range), per row and block. */
const matMulNBits: Operator = (call) => {
  const [a, packed, scales] = [call.input(0), call.input(1), call.input(2)];
  const [n, k, bits, block] = [call.int('N'), call.int('K'), call.int('bits', 4), call.int('block_size')];
  if (call.optional(4) !== undefined) throw call.wrong('group indices are not read');
  const blocks = Math.ceil(k / block);
  const codes = unpacked(packed, bits, block);
  const given = call.optional(3);
  const zeros = zeroCodes(given?.type === 'u8' ? valueOf('u8', [n, given.data.length / n], given.data) : given, bits, blocks);
  const weight = tabulate(a.type, [n, k], ([row, column]) => {
    const group = row * blocks + Math.floor(column / block);
    return (codes.data[group * block + (column % block)] - (zeros?.data[group] ?? 2 ** (bits - 1))) * scales.data[group];
  });
  const product = matmul(a, matrixTransposed(weight));
  const bias = call.optional(5);
  return bias === undefined ? product : combined(product, bias, (x, b) => x + b);
};

/** Rows of a table of codes, decoded; in bytes the codes are packed along the last axis. */
const gatherBlockQuantized: Operator = (call) => {
  const [table, indices, scales] = [call.input(0), call.input(1), call.input(2)];
  const bits = call.int('bits', 4);
  const inBytes = table.type === 'u8';
  const codes = inBytes ? unpacked(table, bits, (table.shape.at(-1)! * 8) / bits) : table;
  const rank = codes.shape.length;
  const [gathered, quantized] = [axisOf(call.int('gather_axis', 0), rank), axisOf(call.int('quantize_axis', 1), rank)];
  const block = call.int('block_size', 128);
  const zeros = zeroCodes(call.optional(3), bits, scales.shape.at(-1)!);
  const [code, scale, zero, at] = [reader(codes), reader(scales), zeros && reader(zeros), reader(indices)];
  const before = inBytes ? 2 ** (bits - 1) : 0;
  return tabulate(scales.type, codes.shape.toSpliced(gathered, 1, ...indices.shape), (index) => {
    const row = place(call, at(index.slice(gathered, gathered + indices.shape.length)), codes.shape[gathered]);
    const from = index.toSpliced(gathered, indices.shape.length, row);
    const group = from.with(quantized, Math.floor(from[quantized] / block));
    return (code(from) - (zero?.(group) ?? before)) * scale(group);
  });
};

export const blockQuantized: Operators = {
  'com.microsoft:MatMulNBits': matMulNBits,
  'com.microsoft:GatherBlockQuantized': gatherBlockQuantized,
};
