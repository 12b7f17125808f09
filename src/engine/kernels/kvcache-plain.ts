/** The plain twins of the kernels of caches: the same operations in the same order, each rounded to float32. */
import { f16ToF32, f32ToF16 } from '../../numeric/half.ts';
import { rne } from '../../numeric/rounding.ts';
import { exponential, lanes } from './exponential.ts';
import { blockBytes, blockPositions, type BlockAttention, type BlockBits, type KvCacheKernels } from './kvcache.ts';

const f = Math.fround;
const finiteHalf = (x: number): number => f32ToF16(Math.min(Math.max(x, -65504), 65504));

interface Parts {
  /** Codes, then scale and minimum of each channel or position as halves. */
  readonly codes: number;
  readonly scales: number;
  readonly minima: number;
}

/** Where the keys and the values of a block lie. */
function partsOf(width: number, bits: BlockBits, block: number): { readonly padded: number; readonly keys: Parts; readonly values: Parts } {
  const padded = Math.ceil(width / 32) * 32;
  const codes = (blockPositions * padded * bits) / 8;
  const values = block + codes + 4 * padded;
  return { padded, keys: { codes: block, scales: block + codes, minima: block + codes + 2 * padded }, values: { codes: values, scales: values + codes, minima: values + codes + 2 * blockPositions } };
}

/** Byte that holds a code, and the bit of it where the code begins. */
function codePlace(kind: 'keys' | 'values', bits: BlockBits, padded: number, position: number, channel: number): { readonly at: number; readonly shift: number } {
  if (bits === 8) return { at: kind === 'keys' ? position * padded + channel : (position >> 1) * 2 * padded + 2 * channel + (position & 1), shift: 0 };
  const word = kind === 'keys'
    ? (position * padded) / 4 + 8 * (channel >> 5) + (channel & 7)
    : ((position >> 1) * padded) / 2 + 8 * (channel >> 4) + 2 * (channel & 3) + (position & 1);
  const n = (kind === 'keys' ? channel >> 3 : channel >> 2) & 3;
  return { at: 2 * word + (n >> 1), shift: 4 * (n & 1) };
}

/** Codes of 16 bits, and their scale. */
export function round16(x: readonly number[]): { readonly codes: number[]; readonly scale: number } {
  const top = Math.max(...x.map(Math.abs));
  const by = top > 0 ? f(32767 / top) : 0;
  return { codes: x.map((v) => Math.min(rne(f(v * by)), 32767)), scale: f(top / 32767) };
}

/** The rows of floats that follow the blocks: [first, last), then the listed ones. */
export function rowsOf(memory: WebAssembly.Memory, { first, last, listed, more }: BlockAttention): number[] {
  const others = new Uint32Array(memory.buffer, listed, more);
  return Array.from({ length: last - first + more }, (_, r) => (r < last - first ? first + r : others[r - last + first]));
}

/** Scores of float rows behind those of `held` positions, then all of them softened; gives the lanes of their sum. */
export function softenWithRows(memory: WebAssembly.Memory, { query, width, scale, keys, stride, scores }: BlockAttention, held: number, rows: readonly number[]): number[] {
  const F = new Float32Array(memory.buffer);
  const S = F.subarray(scores / 4);
  rows.forEach((row, r) => {
    const sum = [0, 0, 0, 0];
    for (let c = 0; c < width; c++) sum[c % 4] = f(sum[c % 4] + f(F[query / 4 + c] * F[(keys + row * stride) / 4 + c]));
    S[held + r] = f(lanes(sum) * f(scale));
  });
  const count = held + rows.length;
  const top = S.subarray(0, count).reduce((most, score) => Math.max(most, score), -Infinity);
  const norm = [0, 0, 0, 0];
  for (let p = 0; p < count; p++) {
    S[p] = exponential(Math.max(f(S[p] - top), -100));
    norm[p % 4] = f(norm[p % 4] + S[p]);
  }
  return norm;
}

/** out = (mixed + Σ weights · float rows of values + minimum) / norm. */
export function mixRows(memory: WebAssembly.Memory, { width, values, stride, scores, out }: BlockAttention, held: number, rows: readonly number[], mixed: readonly number[], minimum: number, norm: readonly number[]): void {
  const F = new Float32Array(memory.buffer);
  for (let c = 0; c < width; c++) {
    const sum = rows.reduce((total, row, r) => f(total + f(F[scores / 4 + held + r] * F[(values + row * stride) / 4 + c])), mixed[c]);
    F[out / 4 + c] = f(f(sum + minimum) / lanes(norm));
  }
}

export function plainKvCache(memory: WebAssembly.Memory): KvCacheKernels {
  const floats = (): Float32Array => new Float32Array(memory.buffer);
  const halfAt = (at: number): number => f16ToF32(new Uint16Array(memory.buffer, at, 1)[0]);
  const setHalf = (at: number, bits: number): void => { new Uint16Array(memory.buffer, at, 1)[0] = bits; };
  const codeAt = (kind: 'keys' | 'values', bits: BlockBits, padded: number, codes: number, position: number, channel: number): number => {
    const { at, shift } = codePlace(kind, bits, padded, position, channel);
    return (new Uint8Array(memory.buffer, codes + at, 1)[0] >> shift) & (2 ** bits - 1);
  };
  return {
    encode(bits, keys, values, stride, width, block) {
      const F = floats();
      const { padded, ...parts } = partsOf(width, bits, block);
      const levels = 2 ** bits - 1;
      new Uint8Array(memory.buffer, block, blockBytes(width, bits)).fill(0);
      const round = (kind: 'keys' | 'values', group: number, places: readonly (readonly [position: number, channel: number])[]): void => {
        const from = kind === 'keys' ? keys : values;
        const x = places.map(([position, channel]) => F[(from + position * stride) / 4 + channel]);
        const [low, high] = [Math.min(...x), Math.max(...x)];
        setHalf(parts[kind].scales + 2 * group, finiteHalf(f(f(high - low) / levels)));
        setHalf(parts[kind].minima + 2 * group, finiteHalf(low));
        const [scale, minimum] = [halfAt(parts[kind].scales + 2 * group), halfAt(parts[kind].minima + 2 * group)];
        places.forEach(([position, channel], i) => {
          const { at, shift } = codePlace(kind, bits, padded, position, channel);
          const code = scale > 0 ? Math.min(Math.max(rne(f(f(x[i] - minimum) / scale)), 0), levels) : 0;
          new Uint8Array(memory.buffer, parts[kind].codes + at, 1)[0] |= code << shift;
        });
      };
      for (let c = 0; c < width; c++) round('keys', c, Array.from({ length: blockPositions }, (_, p) => [p, c] as const));
      for (let p = 0; p < blockPositions; p++) round('values', p, Array.from({ length: width }, (_, c) => [p, c] as const));
    },
    attend(bits, a) {
      const { query, width, scale, block, blockStride, blocks, from, scores } = a;
      const F = floats();
      const rows = rowsOf(memory, a);
      const held = blocks * blockPositions;
      const S = F.subarray(scores / 4);
      S.fill(-Infinity, 0, from);
      for (let b = 0; b < blocks; b++) {
        const { padded, keys: part } = partsOf(width, bits, block + b * blockStride);
        const less = [0, 0, 0, 0];
        const scaled = Array.from({ length: width }, (_, c) => {
          less[c % 4] = f(less[c % 4] + f(F[query / 4 + c] * halfAt(part.minima + 2 * c)));
          return f(F[query / 4 + c] * halfAt(part.scales + 2 * c));
        });
        const rounded = round16(scaled);
        for (let p = b === 0 ? from : 0; p < blockPositions; p++) {
          const dot = rounded.codes.reduce((sum, q, c) => sum + q * codeAt('keys', bits, padded, part.codes, p, c), 0);
          S[b * blockPositions + p] = f(f(f(f(dot) * rounded.scale) + lanes(less)) * f(scale));
        }
      }
      const norm = softenWithRows(memory, a, held, rows);
      const mixed = Array.from({ length: width }, () => 0);
      const minima = [0, 0, 0, 0];
      for (let b = 0; b < blocks; b++) {
        const { padded, values: part } = partsOf(width, bits, block + b * blockStride);
        const rounded = round16(Array.from({ length: blockPositions }, (_, p) => {
          minima[p % 4] = f(minima[p % 4] + f(S[b * blockPositions + p] * halfAt(part.minima + 2 * p)));
          return f(S[b * blockPositions + p] * halfAt(part.scales + 2 * p));
        }));
        for (let c = 0; c < width; c++) {
          const sum = rounded.codes.reduce((total, w, p) => total + w * codeAt('values', bits, padded, part.codes, p, c), 0);
          mixed[c] = f(mixed[c] + f(f(sum) * rounded.scale));
        }
      }
      mixRows(memory, a, held, rows, mixed, lanes(minima), norm);
    },
  };
}
