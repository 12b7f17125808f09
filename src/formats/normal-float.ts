/**
 * NF4 of bitsandbytes: blocks of the flattened tensor, float32 absmax, the 16 quantiles of a normal.
 * `+dq`: the absmax values, less their mean, become 8-bit codes of a dynamic map in blocks of 256 (QLoRA, arXiv:2305.14314).
 */
import { squaredDistance } from '../numeric/statistics.ts';
import type { EncodeOptions, Quantized } from './format.ts';
import { spellGranularity, type Granularity } from './granularity.ts';
import { boundariesOf, indexBelow, tableGrid } from './grid.ts';
import { scaleTypes } from './scale-type.ts';
import type { Fit, ScaledFormat } from './scaled.ts';
import { symmetricFormat } from './symmetric.ts';

/** The table of bitsandbytes; its generator agrees only to 3e-7. */
export const nf4Table: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

const nestedBlock = 256;

export function nf4Format(granularity: Granularity, doubleQuantization = false): ScaledFormat {
  const name = `nf4/${spellGranularity(granularity)}`;
  const plain = symmetricFormat({ name, family: 'codebook', grid: tableGrid(4, nf4Table), granularity, scaleType: scaleTypes.f32 });
  return doubleQuantization ? nested(plain) : plain;
}

function nested(plain: ScaledFormat): ScaledFormat {
  const name = `${plain.name}+dq`;
  const renamed = (quantized: Quantized, format: string): Quantized => ({ ...quantized, format });
  const fit = (values: Float32Array, rows: number, cols: number, options?: EncodeOptions): Fit => nestScales(plain.fit(values, rows, cols, options));
  const encodeWith: ScaledFormat['encodeWith'] = (values, rows, cols, fitted, options) =>
    renamed(plain.encodeWith(values, rows, cols, fitted, options), name);
  return {
    ...plain, name, fit, encodeWith,
    bitsPerWeight(rows, cols) {
      const n = Math.max(1, rows * cols);
      const scales = ((plain.bitsPerWeight(rows, cols) - plain.bits) * n) / 32;
      return plain.bits + (scales * 8 + Math.ceil(scales / nestedBlock) * 32 + 32) / n;
    },
    // Codes are chosen with the absmax itself, as bitsandbytes does; what is decoded uses the nested one.
    encode(values, rows, cols, options) {
      const exact = plain.fit(values, rows, cols, options);
      const quantized = { ...plain.encodeWith(values, rows, cols, exact, options), ...nestScales(exact), format: name };
      return { ...quantized, squaredError: squaredDistance(plain.decode(quantized), values) };
    },
    decode: (quantized) => plain.decode(quantized),
  };
}

/** Replaces scales by what their 8-bit codes decode to. */
function nestScales(fit: Fit): Fit {
  const { scales } = fit;
  const count = scales.length;
  let sum = 0;
  for (const scale of scales) sum += scale;
  const offset = Math.fround(sum / Math.max(1, count));
  const map = dynamicMap();
  const bounds = boundariesOf(map, 0, map.length);
  const codes = new Uint8Array(count);
  const blockScales = new Float32Array(Math.ceil(count / nestedBlock));
  const decoded = new Float32Array(count);
  for (let b = 0; b < blockScales.length; b++) {
    const end = Math.min(count, (b + 1) * nestedBlock);
    let amax = 0;
    for (let i = b * nestedBlock; i < end; i++) amax = Math.max(amax, Math.abs(Math.fround(scales[i] - offset)));
    blockScales[b] = amax;
    for (let i = b * nestedBlock; i < end; i++) {
      codes[i] = indexBelow(bounds, amax === 0 ? 0 : Math.fround(Math.fround(scales[i] - offset) / amax));
      decoded[i] = Math.fround(map[codes[i]] * amax) + offset;
    }
  }
  return { ...fit, scales: decoded, doubleQuantized: { codes, map, scales: blockScales, block: nestedBlock, offset } };
}

let dynamic: Float32Array | undefined;

/**
 * The signed 8-bit dynamic map of bitsandbytes, ascending: seven decades, the i-th from the smallest with 2^i means of
 * neighbours on an even grid of [0.1, 1], both signs, and 0 and 1.
 */
export function dynamicMap(): Float32Array {
  if (dynamic) return dynamic;
  const values = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const items = 2 ** decade;
    // 10^-6 … 10^0 by division, so that each is the nearest double.
    const power = 1 / [1e6, 1e5, 1e4, 1e3, 1e2, 10, 1][decade];
    const step = Math.fround(Math.fround(0.9) / items);
    const edge = (i: number) => (i <= items / 2 ? Math.fround(Math.fround(0.1) + Math.fround(step * i)) : Math.fround(1 - Math.fround(step * (items - i))));
    for (let i = 0; i < items; i++) {
      const mean = Math.fround(Math.fround(edge(i) + edge(i + 1)) / 2);
      values.push(power * mean, -power * mean);
    }
  }
  dynamic = Float32Array.from(values).sort();
  return dynamic;
}
