/** The plain twins of the kernels with inputs of 4 and 8 bits: codes taken one by one, sums as integers, each float operation rounded to float32. */
import { rne } from '../../numeric/rounding.ts';
import { blockSize, wordOf, type MixedKernels } from './mixed.ts';

const f = Math.fround;

export function plainMixed(memory: WebAssembly.Memory): MixedKernels {
  const floats = (): Float32Array => new Float32Array(memory.buffer);
  const shorts = (): Int16Array => new Int16Array(memory.buffer);
  const isWide = (wide: number, block: number): boolean => new Uint8Array(memory.buffer)[wide + block] !== 0;

  /** The code of a weight. */
  function weightAt(weights: number, blocks: number, row: number, col: number): number {
    const nibble = (new Uint16Array(memory.buffer)[weights / 2 + wordOf(blocks, row, col)] >> (4 * ((col >> 3) & 3))) & 15;
    return ((col >> 3) & 1) === 0 ? nibble - 8 : (nibble << 28) >> 28;
  }

  /** Rounds `count` values, those at `places`, and gives the scale and the codes. */
  function rounded(values: readonly number[], most: number): { readonly scale: number; readonly codes: number[] } {
    const amax = values.reduce((top, x) => Math.max(top, Math.abs(x)), 0);
    const scale = amax === 0 ? 1 : Math.max(f(amax / most), 2 ** -149);
    return { scale, codes: values.map((x) => Math.max(-most, Math.min(most, rne(f(x / scale))))) };
  }

  return {
    roundBlocks(x, order, { tokens, blocks, wide, codes, width, scales, lifts }) {
      const [F, S] = [floats(), shorts()];
      const places = new Uint32Array(memory.buffer);
      for (let t = 0; t < tokens; t++) {
        let to = (codes + t * width) / 2;
        for (let b = 0; b < blocks; b++) {
          const columns = Array.from({ length: blockSize }, (_, i) => (order === 0 ? b * blockSize + i : places[order / 4 + b * blockSize + i]));
          const { scale, codes: found } = rounded(columns.map((column) => F[x / 4 + t * blocks * blockSize + column]), isWide(wide, b) ? 127 : 7);
          F[scales / 4 + t * blocks + b] = scale;
          new Int32Array(memory.buffer)[lifts / 4 + t * blocks + b] = 8 * found.reduce((sum, code, i) => sum + ((i >> 3) % 2 === 0 ? code : 0), 0);
          if (isWide(wide, b)) {
            S.set(found, to);
            to += blockSize;
          } else {
            for (let i = 0; i < blockSize; i += 32) {
              for (let l = 0; l < 8; l++) {
                S[to + i / 2 + l] = found[i + 24 + l] + 4096 * found[i + l];
                S[to + i / 2 + 8 + l] = found[i + 8 + l] + 4096 * found[i + 16 + l];
              }
            }
            to += blockSize / 2;
          }
        }
      }
    },
    product(weights, scales, { tokens, blocks, wide, codes, width, scales: inScales }, { out, stride, first, last }, { up, down, rank } = { up: 0, down: 0, rank: 0 }) {
      const F = floats();
      for (let t = 0; t < tokens; t++) {
        const inputs = codesOf(shorts(), (codes + t * width) / 2, Array.from({ length: blocks }, (_, b) => isWide(wide, b)));
        for (let row = 4 * first; row < 4 * last; row++) {
          let sum = 0;
          for (let r = 0; r < rank; r++) sum = f(sum + f(F[up / 4 + ((row >> 2) * rank + r) * 4 + (row & 3)] * F[down / 4 + t * rank + r]));
          for (let b = 0; b < blocks; b++) {
            let dot = 0;
            for (let c = b * blockSize; c < (b + 1) * blockSize; c++) dot += weightAt(weights, blocks, row, c) * inputs[c];
            sum = f(sum + f(f(dot * F[scales / 4 + ((row >> 2) * blocks + b) * 4 + (row & 3)]) * F[inScales / 4 + t * blocks + b]));
          }
          F[out / 4 + t * stride + row] = sum;
        }
      }
    },
    roundTokens(x, tokens, cols, codes, scales) {
      const F = floats();
      for (let t = 0; t < tokens; t++) {
        const { scale, codes: found } = rounded([...F.subarray(x / 4 + t * cols, x / 4 + (t + 1) * cols)], 127);
        shorts().set(found, codes / 2 + t * cols);
        F[scales / 4 + t] = scale;
      }
    },
    product8(weights, scales, cols, codes, inScales, tokens, { out, stride, first, last }) {
      const [F, S, W] = [floats(), shorts(), new Int8Array(memory.buffer)];
      for (let t = 0; t < tokens; t++) {
        for (let row = 4 * first; row < 4 * last; row++) {
          let dot = 0;
          for (let c = 0; c < cols; c++) dot += W[weights + (row >> 2) * 4 * cols + (c >> 4) * 64 + (row & 3) * 16 + (c & 15)] * S[codes / 2 + t * cols + c];
          F[out / 4 + t * stride + row] = f(f(dot * F[scales / 4 + row]) * F[inScales / 4 + t]);
        }
      }
    },
  };
}

/** Codes of a token, one for each column. */
function codesOf(S: Int16Array, from: number, wide: readonly boolean[]): Int16Array {
  const out = new Int16Array(wide.length * blockSize);
  wide.forEach((isWide, b) => {
    if (isWide) out.set(S.subarray(from, from + blockSize), b * blockSize);
    else {
      for (let i = 0; i < blockSize; i += 32) {
        for (let l = 0; l < 8; l++) {
          for (const [half, low, high] of [[0, 24, 0], [8, 8, 16]]) {
            const pair = S[from + i / 2 + half + l];
            const code = ((pair + 2048) >> 12);
            out[b * blockSize + i + high + l] = code;
            out[b * blockSize + i + low + l] = pair - 4096 * code;
          }
        }
      }
    }
    from += isWide ? blockSize : blockSize / 2;
  });
  return out;
}
