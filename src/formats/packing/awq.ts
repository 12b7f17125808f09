/**
 * AWQ checkpoints (version gemm, 4 bits): I32 words along N, nibble i of word j from column 8j + [0,2,4,6,1,3,5,7][i].
 * `qweight` [K, N/8], `qzeros` [groups, N/8] with true zero points.
 */
import { checkLength, errors } from './bits.ts';

const order = [0, 2, 4, 6, 1, 3, 5, 7];

function wordsOf(N: number): number {
  if (N % 8 !== 0) throw errors.divisible({ layout: 'awq', what: 'output width', size: N, by: 8 });
  return N / 8;
}

/** `qweight` (or `qzeros`) of unsigned values [N, lines]: one line per input (or group). */
export function packAwq(values: Uint8Array, N: number, lines: number): Int32Array {
  checkLength('awq values', values.length, N * lines);
  const words = wordsOf(N);
  const out = new Int32Array(lines * words);
  for (let k = 0; k < lines; k++) {
    for (let j = 0; j < words; j++) {
      let word = 0;
      for (let i = 0; i < 8; i++) word |= (values[(8 * j + order[i]) * lines + k] & 15) << (4 * i);
      out[k * words + j] = word;
    }
  }
  return out;
}

/** Unsigned values [N, lines] of packed words. */
export function unpackAwq(packed: Int32Array, N: number, lines: number): Uint8Array {
  const words = wordsOf(N);
  checkLength('awq words', packed.length, lines * words);
  const values = new Uint8Array(N * lines);
  for (let k = 0; k < lines; k++) {
    for (let j = 0; j < words; j++) {
      for (let i = 0; i < 8; i++) values[(8 * j + order[i]) * lines + k] = (packed[k * words + j] >>> (4 * i)) & 15;
    }
  }
  return values;
}
