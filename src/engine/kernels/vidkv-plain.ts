/** The plain twin of attention over keys and values in 1.5 and 1.58 bits: the same operations in the same order, each rounded to float32. */
import { unpackCodes } from '../../formats/cache-groups.ts';
import { f16ToF32 } from '../../numeric/half.ts';
import { blockPositions } from './kvcache.ts';
import { mixRows, round16, rowsOf, softenWithRows } from './kvcache-plain.ts';
import { keyBytes, loudCount, quietCount, valueBytes, waveStride, type VidAttention } from './vidkv.ts';

const f = Math.fround;

export function plainVidAttention(memory: WebAssembly.Memory): VidAttention {
  return (a, { waves }) => {
    const { query, width, scale, block, blockStride, blocks, from, scores } = a;
    const F = new Float32Array(memory.buffer);
    const S = F.subarray(scores / 4);
    const rows = rowsOf(memory, a);
    const held = blocks * blockPositions;
    const channels = Array.from({ length: width }, (_, c) => c);
    const halves = (bytes: Uint8Array, count: number): number[] => Array.from({ length: count }, (_, i) => f16ToF32(bytes[2 * i] | (bytes[2 * i + 1] << 8)));
    const bytesOf = (b: number): Uint8Array => new Uint8Array(memory.buffer, block + b * blockStride, keyBytes(width) + valueBytes(width));
    S.fill(-Infinity, 0, from);
    for (let b = 0; b < blocks; b++) {
      const bytes = bytesOf(b);
      const [marks, count] = [Math.ceil(width / 8), 2 * loudCount(width) + quietCount(width)];
      const loud = unpackCodes(bytes, 2, width);
      const numbers = halves(bytes.subarray(marks), count);
      const signsAt = marks + 2 * count;
      const signs = unpackCodes(bytes.subarray(signsAt), 2, blockPositions * quietCount(width));
      const codes = unpackCodes(bytes.subarray(signsAt + 4 * quietCount(width)), 4, blockPositions * loudCount(width));
      const quiet = channels.filter((c) => loud[c] === 0).map((c) => F[query / 4 + c]);
      const turned = quiet.map((_, i) => quiet.reduce((sum, q, t) => f(sum + f(q * F[waves / 4 + t * waveStride(width) + i])), 0));
      const sums = new Float32Array(blockPositions);
      let [base, number, spectrum, twoBit] = [0, 0, 0, 0];
      for (const c of channels) {
        if (loud[c] === 1) {
          const x = F[query / 4 + c];
          const v = f(x * numbers[number]);
          base = f(base + f(x * numbers[number + 1]));
          for (let p = 0; p < blockPositions; p++) sums[p] = f(sums[p] + f(codes[twoBit * blockPositions + p] * v));
          number += 2;
          twoBit++;
        } else {
          const v = f(turned[spectrum] * numbers[number]);
          base = f(base - v);
          for (let p = 0; p < blockPositions; p++) sums[p] = f(sums[p] + (signs[spectrum * blockPositions + p] === 1 ? f(v + v) : 0));
          number++;
          spectrum++;
        }
      }
      for (let p = b === 0 ? from : 0; p < blockPositions; p++) S[b * blockPositions + p] = f(f(sums[p] + base) * f(scale));
    }
    const norm = softenWithRows(memory, a, held, rows);
    const mixed = channels.map(() => 0);
    for (let b = 0; b < blocks; b++) {
      const bytes = bytesOf(b).subarray(keyBytes(width));
      const magnitudes = halves(bytes, width);
      const trits = unpackCodes(bytes.subarray(2 * width), 3, blockPositions * width);
      const weights = round16([...S.subarray(b * blockPositions, (b + 1) * blockPositions)]);
      for (const c of channels) {
        const sum = weights.codes.reduce((total, w, p) => total + w * (trits[c * blockPositions + p] - 1), 0);
        mixed[c] = f(mixed[c] + f(f(sum) * f(weights.scale * magnitudes[c])));
      }
    }
    mixRows(memory, a, held, rows, mixed, 0, norm);
  };
}
