/** The plain twins of the kernels that look sums up: digits taken one by one, sums as integers, each float operation rounded to float32. */
import { rne } from '../../numeric/rounding.ts';
import { blockSize, digitPlace, type LookupKernels, type Signs } from './lookup.ts';

const f = Math.fround;

export function plainLookup(memory: WebAssembly.Memory): LookupKernels {
  const sign = (digit: number, { plus, minus }: Signs): number => (digit === plus ? 1 : digit === minus ? -1 : 0);
  return {
    tables(x, signs, whole, { tokens, blocks, tables, scales }) {
      const [F, B] = [new Float32Array(memory.buffer), new Uint8Array(memory.buffer)];
      const largest = (from: number, count: number): number => F.subarray(from, from + count).reduce((top, v) => Math.max(top, Math.abs(v)), 0);
      for (let t = 0; t < tokens; t++) {
        const token = x / 4 + t * blocks * blockSize;
        for (let b = 0; b < blocks; b++) {
          const from = token + b * blockSize;
          const amax = whole ? largest(token, blocks * blockSize) : largest(from, blockSize);
          const scale = amax === 0 ? 1 : Math.max(f(amax / 127), 2 ** -149);
          F[scales / 4 + t * blocks + b] = scale;
          const code = (i: number): number => Math.max(-127, Math.min(127, rne(f(F[from + i] / scale))));
          for (let pair = 0; pair < blockSize / 2; pair++) {
            const [first, second] = [code(2 * pair), code(2 * pair + 1)];
            for (let index = 0; index < 16; index++) {
              const sum = sign(index & 3, signs) * first + sign(index >> 2, signs) * second;
              const at = tables + ((t * blocks + b) * (blockSize / 2) + pair) * 32 + index;
              B[at] = sum & 255;
              B[at + 16] = (sum >> 8) & 255;
            }
          }
        }
      }
    },
    product(weights, scales, { tokens, blocks, tables, scales: inScales }, { out, stride, first, last, panels }) {
      const [F, B] = [new Float32Array(memory.buffer), new Uint8Array(memory.buffer)];
      for (let t = 0; t < tokens; t++) {
        for (let row = 16 * first; row < 16 * last; row++) {
          let total = 0;
          for (let b = 0; b < blocks; b++) {
            let sum = 0;
            for (let c = 0; c < blockSize; c += 2) {
              const { at, shift } = digitPlace(panels, row, b * blockSize + c);
              const entry = tables + ((t * blocks + b) * blockSize + c) * 16 + ((B[weights + at] >> shift) & 15);
              sum += B[entry] + ((B[entry + 16] << 24) >> 16);
            }
            total = f(total + f(f(sum * F[scales / 4 + (b * panels + (row >> 4)) * 16 + (row & 15)]) * F[inScales / 4 + t * blocks + b]));
          }
          F[out / 4 + t * stride + row] = total;
        }
      }
    },
  };
}
