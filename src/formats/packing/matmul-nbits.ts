/**
 * `com.microsoft.MatMulNBits` version 1: B uint8 [N, blocks, block·bits/8], codes low bits first along K, the last
 * block stored in full and padded with the zero point; zero points packed the same way, each row padded to a byte.
 */
import { checkLength, errors, packedLength, packLowFirst, unpackLowFirst } from './bits.ts';

export interface MatMulNBitsLayout {
  /** Outputs (rows) and inputs (columns) of the weight. */
  readonly N: number;
  readonly K: number;
  readonly bits: number;
  /** A power of two, at least 16. */
  readonly block: number;
}

function check({ bits, block }: MatMulNBitsLayout): void {
  if (!(bits >= 2 && bits <= 8)) throw errors.bits({ layout: 'MatMulNBits', bits, known: '2 to 8' });
  if (block < 16 || (block & (block - 1)) !== 0) throw errors.divisible({ layout: 'MatMulNBits', what: 'a power-of-two block', size: block, by: 16 });
}

/** The blob of unsigned codes [N, K]; `zeros` [N, blocks] pad the last block, 2^(bits−1) without them. */
export function packMatMulNBits(codes: Uint8Array, zeros: Uint8Array | undefined, layout: MatMulNBitsLayout): Uint8Array {
  check(layout);
  const { N, K, bits, block } = layout;
  checkLength('MatMulNBits codes', codes.length, N * K);
  const blocks = Math.ceil(K / block);
  const bytes = packedLength(block, bits);
  const out = new Uint8Array(N * blocks * bytes);
  // A block of 16 or more is whole bytes: without padding, all blocks are one run.
  if (K % block === 0) return packLowFirst(codes, bits, out);
  const padded = new Uint8Array(block);
  for (let n = 0, at = 0; n < N; n++) {
    for (let b = 0; b < blocks; b++, at += bytes) {
      const begin = n * K + b * block;
      const end = Math.min(begin + block, (n + 1) * K);
      let run = codes.subarray(begin, end);
      if (run.length < block) {
        padded.fill(zeros === undefined ? 1 << (bits - 1) : zeros[n * blocks + b]);
        padded.set(run);
        run = padded;
      }
      packLowFirst(run, bits, out, at);
    }
  }
  return out;
}

/** Unsigned codes [N, K] of a blob. */
export function unpackMatMulNBits(blob: Uint8Array, layout: MatMulNBitsLayout): Uint8Array {
  check(layout);
  const { N, K, bits, block } = layout;
  const blocks = Math.ceil(K / block);
  const bytes = packedLength(block, bits);
  checkLength('MatMulNBits blob', blob.length, N * blocks * bytes);
  const codes = new Uint8Array(N * K);
  for (let n = 0; n < N; n++) {
    for (let b = 0; b < blocks; b++) {
      const begin = b * block;
      const count = Math.min(block, K - begin);
      unpackLowFirst(blob, count, bits, (n * blocks + b) * bytes, codes.subarray(n * K + begin, n * K + begin + count));
    }
  }
  return codes;
}

/** Zero points [N, blocks] as the operator's packed input, [N, ⌈blocks·bits/8⌉]. */
export function packZeroPoints(zeros: Uint8Array, layout: MatMulNBitsLayout): Uint8Array {
  check(layout);
  const { N, K, bits, block } = layout;
  const blocks = Math.ceil(K / block);
  checkLength('MatMulNBits zero points', zeros.length, N * blocks);
  const bytes = packedLength(blocks, bits);
  const out = new Uint8Array(N * bytes);
  for (let n = 0; n < N; n++) packLowFirst(zeros.subarray(n * blocks, (n + 1) * blocks), bits, out, n * bytes);
  return out;
}

/** The inverse of `packZeroPoints`. */
export function unpackZeroPoints(packed: Uint8Array, layout: MatMulNBitsLayout): Uint8Array {
  check(layout);
  const { N, K, bits, block } = layout;
  const blocks = Math.ceil(K / block);
  const bytes = packedLength(blocks, bits);
  checkLength('MatMulNBits packed zero points', packed.length, N * bytes);
  const zeros = new Uint8Array(N * blocks);
  for (let n = 0; n < N; n++) unpackLowFirst(packed, blocks, bits, n * bytes, zeros.subarray(n * blocks, (n + 1) * blocks));
  return zeros;
}
