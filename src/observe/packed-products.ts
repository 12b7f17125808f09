/** Layers of ONNX Runtime's own operators that multiply by packed codes: MatMulNBits, and MatMulBnb4 with the tables of bitsandbytes. */
import { nf4Table } from '../formats/normal-float.ts';
import { intOf } from '../graph/attributes.ts';
import type { Node } from '../graph/graph.ts';
import { makeNode } from '../graph/rewrite.ts';
import type { Draft } from './quantized-layers.ts';
import { floatsOf } from './taps.ts';

/** A product [rows, cols] as MatMul, and Add where there is a bias. */
const product = (node: Node, output: string, bias: string) => (from: string, weight: string): Node[] => {
  const sum = bias === '' ? output : `${output}_product`;
  const multiplied = makeNode('MatMul', [from, weight], [sum], { name: node.name });
  return bias === '' ? [multiplied] : [multiplied, makeNode('Add', [sum, bias], [output], { name: `${node.name}_bias` })];
};

const turned = (matrix: Float32Array, rows: number, cols: number) => {
  const values = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col++) values[col * rows + row] = matrix[row * cols + col];
  return { shape: [cols, rows], values };
};

/** Codes as unsigned bytes, blocks of columns, low bits first. */
export function nBits(node: Node): Draft {
  const [rows, cols, bits, block] = ['N', 'K', 'bits', 'block_size'].map((name) => intOf(node, name, 0));
  const [input, codes, scales, zeros = '', order = '', bias = ''] = node.inputs;
  return {
    id: codes, op: node.op, output: node.outputs[0], input, roundsInput: false, needs: [codes, scales, ...(zeros === '' ? [] : [zeros])],
    async finish([code, scale, zero]) {
      // Codes in another order of columns are not taken apart.
      if (order !== '') return undefined;
      const blocks = Math.ceil(cols / block);
      const at = (bytes: ArrayLike<number>, row: number, index: number, rowBytes: number): number => {
        const bit = index * bits;
        const byte = bytes[row * rowBytes + (bit >> 3)];
        return (byte >> (bit & 7)) & ((1 << bits) - 1);
      };
      const [codeBytes, steps] = [code.data as Uint8Array, floatsOf(scales, scale)];
      const zeroBytes = Math.ceil((blocks * bits) / 8);
      const matrix = new Float32Array(rows * cols);
      for (let row = 0; row < rows; row++) {
        for (let col = 0; col < cols; col++) {
          const group = Math.floor(col / block);
          const offset = zero === undefined ? 2 ** (bits - 1) : zero.type === 'u8' ? at(zero.data as Uint8Array, row, group, zeroBytes) : Number(floatsOf(zeros, zero)[row * blocks + group]);
          matrix[row * cols + col] = (at(codeBytes, row, col, (blocks * block * bits) / 8) - offset) * steps[row * blocks + group];
        }
      }
      return { rows, cols, type: scale.type, matrix, stored: (other) => turned(other, rows, cols), replaced: product(node, node.outputs[0], bias) };
    },
  };
}

/** Of bitsandbytes' FP4: a sign over eight magnitudes, in the order of its codes. */
const fp4Magnitudes = [0, 1 / 192, 2 / 3, 1, 1 / 3, 1 / 2, 1 / 6, 1 / 4];
const fp4Table = [...fp4Magnitudes, ...fp4Magnitudes.map((value) => -value)];

/** Codes of the flattened matrix [N, K], high half of a byte first, with one scale per block of it. */
export function bnb4(node: Node): Draft {
  const [rows, cols, block, kind] = ['N', 'K', 'block_size', 'quant_type'].map((name) => intOf(node, name, 0));
  const [input, codes, scales] = node.inputs;
  return {
    id: codes, op: node.op, output: node.outputs[0], input, roundsInput: false, needs: [codes, scales],
    async finish([{ data }, scale]) {
      // Of the gradient's form, [K, N], nothing is known.
      if (node.attributes.transB?.kind === 'int' && node.attributes.transB.value === 0) return undefined;
      const [bytes, steps, table] = [data as Uint8Array, floatsOf(scales, scale), kind === 1 ? nf4Table : fp4Table];
      const matrix = Float32Array.from({ length: rows * cols }, (_, i) => table[i % 2 === 0 ? bytes[i >> 1] >> 4 : bytes[i >> 1] & 15] * steps[Math.floor(i / block)]);
      return { rows, cols, type: scale.type, matrix, stored: (other) => turned(other, rows, cols), replaced: product(node, node.outputs[0], '') };
    },
  };
}
