/** The plain twins of the low-bit kernels: the same operations in the same order, each rounded to float32. */
import { rne } from '../../numeric/rounding.ts';
import { exponential, lanes, silu } from './exponential.ts';
import { bytePlace, groupSize, inputBytes, inputTop, nibblePlace, panelRows, thirdBitPlace, twoBitPlace, type LowBitKernels, type ProductPlace, type RoundedPlace } from './lowbit.ts';
import { trellisLevels } from './trellis-tiles.ts';

const f = Math.fround;

export function plainLowBit(memory: WebAssembly.Memory): LowBitKernels {
  const floats = (): Float32Array => new Float32Array(memory.buffer);
  const shorts = (): Int16Array => new Int16Array(memory.buffer);
  const bytes = (): Uint8Array => new Uint8Array(memory.buffer);

  /** Calls with every output and the group sums it is made of: `value` gives what a group adds before its input scale. */
  function eachOutput({ weights, groups, tokens, out, stride, first, last }: ProductPlace, inputs: RoundedPlace, groupBytes: number, value: (sums: { side: number; row: number; first: number; total: number; dot(codeAt: (column: number) => number, from?: number, to?: number): number; at: number }) => number): void {
    const F = floats();
    const S = shorts();
    for (let p = first; p < last; p++) {
      for (let t = 0; t < tokens; t++) {
        for (let row = 0; row < panelRows && p * panelRows + row < stride; row++) {
          let sum = 0;
          for (let g = 0; g < groups; g++) {
            const x = inputs.at + (t * groups + g) * inputBytes;
            const dot = (codeAt: (column: number) => number, from = 0, to = groupSize): number => {
              let all = 0;
              for (let i = from; i < to; i++) all += codeAt(i) * S[x / 2 + i];
              return f(all);
            };
            sum = f(sum + f(value({ side: p * groups + g, row, first: F[x / 4 + 35], total: F[x / 4 + 33], dot, at: weights + (p * groups + g) * groupBytes }) * F[x / 4 + 32]));
          }
          F[out / 4 + t * stride + p * panelRows + row] = sum;
        }
      }
    }
  }
  const signed = (at: number): number => (bytes()[at] << 24) >> 24;
  const sideAt = (address: number, side: number, row: number): number => floats()[address / 4 + side * panelRows + row];

  const kernels: LowBitKernels = {
    /** Without what the kernels keep beside codes, scales and sums for their own instructions. */
    roundInputs(x, groups, { at, bits }) {
      const [F, S] = [floats(), shorts()];
      for (let g = 0; g < groups; g++) {
        let most = 0;
        for (let i = 0; i < groupSize; i++) most = Math.max(most, Math.abs(F[x / 4 + g * groupSize + i]));
        const scale = f(most / inputTop[bits]);
        const to = at + g * inputBytes;
        let total = 0;
        let first = 0;
        for (let i = 0; i < groupSize; i++) {
          if (i === 16) first = total;
          const code = rne(f(F[x / 4 + g * groupSize + i] / (scale > 0 ? scale : 1)));
          S[to / 2 + i] = code;
          total += code;
        }
        F[to / 4 + 32] = scale;
        F[to / 4 + 33] = total;
        F[to / 4 + 35] = first;
      }
    },
    product4(place, scales, mins, inputs) {
      const centre = mins === 0 ? 8 : 0;
      eachOutput(place, inputs, 128, ({ side, row, total, dot, at }) => {
        const value = f(dot((i) => {
          const { byte, shift } = nibblePlace(row, i);
          return ((bytes()[at + byte] >> shift) & 15) - centre;
        }) * sideAt(scales, side, row));
        return mins === 0 ? value : f(value - f(total * sideAt(mins, side, row)));
      });
    },
    product8(place, scales, mins, inputs) {
      eachOutput(place, inputs, 256, ({ side, row, total, dot, at }) => {
        const value = f(dot((i) => signed(at + bytePlace(row, i))) * sideAt(scales, side, row));
        return mins === 0 ? value : f(value - f(total * sideAt(mins, side, row)));
      });
    },
    product8Halves(place, scales, inputs) {
      eachOutput(place, inputs, 256, ({ side, row, dot, at }) => {
        const half = (h: number): number => f(dot((i) => signed(at + bytePlace(row, i)), 16 * h, 16 * h + 16) * sideAt(scales, 2 * side + h, row));
        return f(half(0) + half(1));
      });
    },
    productPacked(place, { bits, less, table, wide = false, fine, minima, halves }, sides, inputs) {
      const B = bytes();
      const parts = halves ? 2 : 1;
      const fineBytes = (32 + 64 * parts) * (minima ? 2 : 1);
      const bitsAt = (at: number, { byte, shift }: { readonly byte: number; readonly shift: number }, mask: number): number => (B[at + byte] >> shift) & mask;
      const levels = table === 0 ? [] : Array.from({ length: 16 }, (_, index) => (wide ? B[table + index] + 256 * signed(table + 16 + index) : signed(table + index)));
      eachOutput(place, inputs, bits * 32, ({ side, row, first, total, dot, at }) => {
        const code = (i: number): number => (table !== 0 ? levels[bitsAt(at, nibblePlace(row, i), 15)]
          : bitsAt(at, twoBitPlace(row, i), 3) + (bits === 3 ? 4 * bitsAt(at, thirdBitPlace(row, i), 1) : 0) - less);
        const fineSide = (part: number, min: boolean): number => {
          const block = sides + (side >> 3) * fineBytes;
          const code = block + (minima ? 64 : 32) + (min ? 64 * parts : 0) + ((side & 7) * parts + part) * panelRows + row;
          return f(signed(code) * sideAt(block + (min ? 32 : 0), 0, row));
        };
        const value = (part: number, from: number, to: number, sum: number): number => {
          const scaled = f(dot(code, from, to) * (fine ? fineSide(part, false) : sideAt(sides, side * parts + part, row)));
          return minima ? f(scaled - f(sum * fineSide(part, true))) : scaled;
        };
        return halves ? f(value(0, 0, 16, first) + value(1, 16, 32, total - first)) : value(0, 0, 32, total);
      });
    },
    productTrellis(place, form, scales, inputs) {
      const levelAt = trellisLevels(memory.buffer, form, place.weights);
      eachOutput(place, inputs, 0, ({ side, row, dot }) => {
        const [panel, group] = [Math.floor(side / place.groups), side % place.groups];
        return f(dot((i) => levelAt(panel * panelRows + row, group * groupSize + i)) * sideAt(scales, panel, row));
      });
    },
    productFloat({ weights, groups, tokens, out, stride, first, last }, x) {
      const F = floats();
      const cols = groups * groupSize;
      for (let p = first; p < last; p++) {
        for (let t = 0; t < tokens; t++) {
          for (let row = 0; row < panelRows && p * panelRows + row < stride; row++) {
            let sum = 0;
            for (let c = 0; c < cols; c++) sum = f(sum + f(F[weights / 4 + (p * cols + c) * panelRows + row] * F[x / 4 + t * cols + c]));
            F[out / 4 + t * stride + p * panelRows + row] = sum;
          }
        }
      }
    },
    rmsNorm(x, weight, count, epsilon, out) {
      const F = floats();
      const squares = [0, 0, 0, 0];
      for (let i = 0; i < count; i++) squares[i % 4] = f(squares[i % 4] + f(F[x / 4 + i] * F[x / 4 + i]));
      const root = f(Math.sqrt(f(f(lanes(squares) / count) + f(epsilon))));
      for (let i = 0; i < count; i++) F[out / 4 + i] = f(f(F[x / 4 + i] / root) * F[weight / 4 + i]);
    },
    addTo(x, y, count) {
      const F = floats();
      for (let i = 0; i < count; i++) F[x / 4 + i] += F[y / 4 + i];
    },
    rotate(x, heads, half, cos, sin) {
      const F = floats();
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < half; i++) {
          const [low, high] = [x / 4 + h * half * 2 + i, x / 4 + h * half * 2 + half + i];
          const [a, b, c, s] = [F[low], F[high], F[cos / 4 + i], F[sin / 4 + i]];
          F[low] = f(a * c) - f(b * s);
          F[high] = f(b * c) + f(a * s);
        }
      }
    },
    siluTimes(gate, up, count) {
      const F = floats();
      for (let i = 0; i < count; i++) F[gate / 4 + i] = f(silu(F[gate / 4 + i]) * F[up / 4 + i]);
    },
    attend(query, keys, values, stride, from, to, width, scale, scores, out, listed = 0, more = 0) {
      const F = floats();
      const others = new Uint32Array(memory.buffer, listed, more);
      const at = (base: number, p: number): number => (base + (p < to - from ? from + p : others[p - to + from]) * stride) / 4;
      const count = to - from + more;
      let top = -Infinity;
      for (let p = 0; p < count; p++) {
        const sum = [0, 0, 0, 0];
        for (let i = 0; i < width; i++) sum[i % 4] = f(sum[i % 4] + f(F[query / 4 + i] * F[at(keys, p) + i]));
        F[scores / 4 + p] = f(lanes(sum) * f(scale));
        top = Math.max(top, F[scores / 4 + p]);
      }
      const norm = [0, 0, 0, 0];
      for (let p = 0; p < count; p++) {
        F[scores / 4 + p] = exponential(Math.max(f(F[scores / 4 + p] - top), -100));
        norm[p % 4] = f(norm[p % 4] + F[scores / 4 + p]);
      }
      F.fill(0, scores / 4 + count, scores / 4 + Math.ceil(count / 4) * 4);
      const sum = lanes(norm);
      for (let i = 0; i < width; i++) {
        let mixed = 0;
        for (let p = 0; p < count; p++) mixed = f(mixed + f(F[scores / 4 + p] * F[at(values, p) + i]));
        F[out / 4 + i] = f(mixed / sum);
      }
    },
    attendRows(query, queryStride, keys, values, stride, from, to, width, scale, scores, out, outStride) {
      for (let r = 0; r < 4; r++) kernels.attend(query + r * queryStride, keys, values, stride, from, to + r, width, scale, scores, out + r * outStride);
    },
  };
  return kernels;
}
