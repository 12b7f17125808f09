/**
 * GPTQ checkpoints: `qweight` I32 [K·b/32, N], a bit stream along K in every column; `qzeros` I32 [groups, N·b/32],
 * a bit stream along N. Version 1 (`checkpoint_format: gptq`) stores zero points less one, version 2 as they are.
 * 3-bit codes run across words: 32 codes in 3 words.
 */
import { checkLength, errors } from './bits.ts';

export type GptqVersion = 'v1' | 'v2';

function checkBits(bits: number): void {
  if (bits !== 2 && bits !== 3 && bits !== 4 && bits !== 8) throw errors.bits({ layout: 'gptq', bits, known: '2, 3, 4 or 8' });
}

function wordsOf(count: number, bits: number, what: string): number {
  checkBits(bits);
  if ((count * bits) % 32 !== 0) throw errors.divisible({ layout: `gptq at ${bits} bits`, what, size: count, by: bits === 3 ? 32 : 32 / bits });
  return (count * bits) / 32;
}

/** Puts a code at bit `bit` of the stream whose words lie `stride` apart from `at` on. */
function put(words: Int32Array, at: number, stride: number, bit: number, bits: number, code: number): void {
  const word = at + (bit >>> 5) * stride;
  const shift = bit & 31;
  words[word] |= code << shift;
  if (shift + bits > 32) words[word + stride] |= code >>> (32 - shift);
}

function get(words: Int32Array, at: number, stride: number, bit: number, bits: number): number {
  const word = at + (bit >>> 5) * stride;
  const shift = bit & 31;
  let code = words[word] >>> shift;
  if (shift + bits > 32) code |= words[word + stride] << (32 - shift);
  return code & ((1 << bits) - 1);
}

/** `qweight` of unsigned codes [N, K]. */
export function packGptqWeight(codes: Uint8Array, N: number, K: number, bits: number): Int32Array {
  checkLength('gptq codes', codes.length, N * K);
  const out = new Int32Array(wordsOf(K, bits, 'input width') * N);
  for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) put(out, n, N, k * bits, bits, codes[n * K + k]);
  return out;
}

/** Unsigned codes [N, K] of `qweight`. */
export function unpackGptqWeight(qweight: Int32Array, N: number, K: number, bits: number): Uint8Array {
  checkLength('gptq qweight', qweight.length, wordsOf(K, bits, 'input width') * N);
  const codes = new Uint8Array(N * K);
  for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) codes[n * K + k] = get(qweight, n, N, k * bits, bits);
  return codes;
}

/** `qzeros` of zero points [N, groups]; version 1 cannot hold a zero point of 0. */
export function packGptqZeros(zeros: Uint8Array, N: number, groups: number, bits: number, version: GptqVersion): Int32Array {
  checkLength('gptq zero points', zeros.length, N * groups);
  const words = wordsOf(N, bits, 'output width');
  const out = new Int32Array(groups * words);
  const less = version === 'v1' ? 1 : 0;
  for (let n = 0; n < N; n++) {
    for (let g = 0; g < groups; g++) {
      const zero = zeros[n * groups + g];
      if (zero < less) throw errors.zeroPointZero({ index: n * groups + g });
      put(out, g * words, 1, n * bits, bits, zero - less);
    }
  }
  return out;
}

/** Zero points [N, groups] of `qzeros`; a version 1 zero point that wrapped to all ones comes back as 0. */
export function unpackGptqZeros(qzeros: Int32Array, N: number, groups: number, bits: number, version: GptqVersion): Uint8Array {
  const words = wordsOf(N, bits, 'output width');
  checkLength('gptq qzeros', qzeros.length, groups * words);
  const more = version === 'v1' ? 1 : 0;
  const zeros = new Uint8Array(N * groups);
  for (let n = 0; n < N; n++) {
    for (let g = 0; g < groups; g++) zeros[n * groups + g] = (get(qzeros, g * words, 1, n * bits, bits) + more) & ((1 << bits) - 1);
  }
  return zeros;
}

/**
 * The version that symmetric `qzeros` were really written in, whatever the checkpoint says: all stored values
 * 2^(b−1)−1 mean v1, all 2^(b−1) mean v2; undefined when they are mixed.
 */
export function detectGptqVersion(qzeros: Int32Array, bits: number): GptqVersion | undefined {
  checkBits(bits);
  const count = Math.floor((qzeros.length * 32) / bits);
  if (count === 0) return undefined;
  const first = get(qzeros, 0, 1, 0, bits);
  for (let i = 1; i < count; i++) if (get(qzeros, 0, 1, i * bits, bits) !== first) return undefined;
  const middle = 1 << (bits - 1);
  if (first === middle - 1) return 'v1';
  return first === middle ? 'v2' : undefined;
}
