/** The plain twins of the low-bit kernels: the same operations in the same order, each rounded to float32. */
import { rne } from '../../numeric/rounding.ts';
import { exponential, lanes } from './exponential.ts';
import { groupSize, panelRows, type LowBitKernels, type ProductPlace, type RoundedPlace } from './lowbit.ts';

const f = Math.fround;

export function plainLowBit(memory: WebAssembly.Memory): LowBitKernels {
  const floats = (): Float32Array => new Float32Array(memory.buffer);
  const shorts = (): Int16Array => new Int16Array(memory.buffer);
  const bytes = (): Uint8Array => new Uint8Array(memory.buffer);

  /** Calls with every output and the group sums it is made of: `value` gives what a group adds before its input scale. */
  function eachOutput(place: ProductPlace, inputs: RoundedPlace, value: (panel: number, row: number, group: number, codes: number, total: number) => number): void {
    const F = floats();
    for (let p = place.first; p < place.last; p++) {
      for (let t = 0; t < place.tokens; t++) {
        for (let row = 0; row < panelRows; row++) {
          let sum = 0;
          for (let g = 0; g < place.groups; g++) {
            const at = t * place.groups + g;
            sum = f(sum + f(value(p, row, g, inputs.codes / 2 + at * groupSize, F[inputs.totals / 4 + at]) * F[inputs.scales / 4 + at]));
          }
          F[place.out / 4 + t * place.stride + p * panelRows + row] = sum;
        }
      }
    }
  }
  const dot = (codeAt: (i: number) => number, x: number, from: number, to: number): number => {
    const X = shorts();
    let sum = 0;
    for (let i = from; i < to; i++) sum += codeAt(i) * X[x + i];
    return sum;
  };
  const signed = (at: number): number => (bytes()[at] << 24) >> 24;
  const scaleAt = (scales: number, groups: number, panel: number, group: number, row: number): number => floats()[scales / 4 + (panel * groups + group) * panelRows + row];

  return {
    roundInputs(x, groups, { codes, bytes: narrow, scales, totals }) {
      const [F, S, B] = [floats(), shorts(), bytes()];
      for (let g = 0; g < groups; g++) {
        let top = 0;
        for (let i = 0; i < groupSize; i++) top = Math.max(top, Math.abs(F[x / 4 + g * groupSize + i]));
        const scale = f(top / 127);
        let total = 0;
        for (let i = 0; i < groupSize; i++) {
          const code = rne(f(F[x / 4 + g * groupSize + i] / (scale > 0 ? scale : 1)));
          S[codes / 2 + g * groupSize + i] = code;
          B[narrow + g * groupSize + i] = code;
          total += code;
        }
        F[scales / 4 + g] = scale;
        F[totals / 4 + g] = total;
      }
    },
    product4(place, scales, mins, inputs) {
      eachOutput(place, inputs, (p, row, g, x, total) => {
        const at = place.weights + (p * place.groups + g) * 64 + row * 16;
        const sum = dot((i) => (i < 16 ? bytes()[at + i] & 15 : bytes()[at + i - 16] >> 4), x, 0, groupSize);
        return f(f(sum * scaleAt(scales, place.groups, p, g, row)) - f(total * scaleAt(mins, place.groups, p, g, row)));
      });
    },
    spreadInputs(x, groups, { values, totals }) {
      const F = floats();
      for (let g = 0; g < groups; g++) {
        let total = 0;
        for (let c = 0; c < groupSize; c++) total = f(total + F[x / 4 + g * groupSize + c]);
        F[totals / 4 + g] = total;
        for (let n = 0; n < 8; n++) for (let l = 0; l < 4; l++) F[values / 4 + g * groupSize + n * 4 + l] = f(F[x / 4 + g * groupSize + 4 * l + (n >> 1) + 16 * (n & 1)] * 16 ** -n);
      }
    },
    product4Float({ weights, groups, tokens, out, stride, first, last }, scales, mins, { values, totals }) {
      const F = floats();
      const words = new Uint32Array(memory.buffer);
      for (let p = first; p < last; p++) {
        for (let t = 0; t < tokens; t++) {
          for (let row = 0; row < panelRows; row++) {
            const sums = [0, 0, 0, 0];
            let less = 0;
            for (let g = 0; g < groups; g++) {
              const side = (p * groups + g) * panelRows + row;
              for (let l = 0; l < 4; l++) {
                const word = words[(weights + (p * groups + g) * 64 + row * 16) / 4 + l];
                let dot = 0;
                for (let n = 0; n < 8; n++) {
                  const product = f(((word >>> (4 * n)) & 15) * 16 ** n * F[values / 4 + (t * groups + g) * groupSize + n * 4 + l]);
                  dot = n === 0 ? product : f(dot + product);
                }
                sums[l] = f(sums[l] + f(dot * F[scales / 4 + side]));
              }
              less = f(less + f(F[mins / 4 + side] * F[totals / 4 + t * groups + g]));
            }
            F[out / 4 + t * stride + p * panelRows + row] = f(lanes(sums) - less);
          }
        }
      }
    },
    product8(place, scales, mins, inputs) {
      eachOutput(place, inputs, (p, row, g, x, total) => {
        const at = place.weights + (p * place.groups + g) * 128 + row * 32;
        const value = f(dot((i) => signed(at + i), x, 0, groupSize) * scaleAt(scales, place.groups, p, g, row));
        return mins === 0 ? value : f(value - f(total * scaleAt(mins, place.groups, p, g, row)));
      });
    },
    product8Halves(place, scales, inputs) {
      eachOutput(place, inputs, (p, row, g, x) => {
        const at = place.weights + (p * place.groups + g) * 128 + row * 32;
        const half = (h: number): number => f(dot((i) => signed(at + i), x, 16 * h, 16 * h + 16) * floats()[scales / 4 + ((p * place.groups + g) * 2 + h) * panelRows + row]);
        return f(half(0) + half(1));
      });
    },
    productFloat({ weights, groups, tokens, out, stride, first, last }, x) {
      const F = floats();
      const cols = groups * groupSize;
      for (let p = first; p < last; p++) {
        for (let t = 0; t < tokens; t++) {
          for (let row = 0; row < panelRows; row++) {
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
      for (let i = 0; i < count; i++) {
        const g = F[gate / 4 + i];
        const e = exponential(-Math.abs(g));
        F[gate / 4 + i] = f(f(g * f((g < 0 ? e : 1) / f(1 + e))) * F[up / 4 + i]);
      }
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
  };
}
