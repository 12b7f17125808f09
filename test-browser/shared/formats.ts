/** Every number format over a seeded matrix, and the arithmetic below, as hashes; runs in Node and in a page. */
import { formatNames, parseFormat, type EncodeOptions, type NumberFormat, type Quantized } from '../../src/formats/index.ts';
import { exp, log, log2, pow } from '../../src/numeric/elementary.ts';
import { encodeBf16, encodeF16, decodeBf16, decodeF16 } from '../../src/numeric/half.ts';
import { inverseNormal, normal, permutation, uniform } from '../../src/numeric/random.ts';
import { digest } from './digest.ts';

/** Spellings beside those of the help: every width, and other scales and tilings. */
const others = [
  ...[1, 2, 3, 5, 6, 7, 8].flatMap((bits) => [`uint${bits}/g64`, ...(bits > 1 ? [`int${bits}/g32`, `int${bits}-full/channel`] : [])]),
  'int8/64x64', 'int4/g64@f16', 'uint4/g64@bf16', 'e5m2/channel', 'e3m2/g32@e8m0', 'e2m1/b16@e4m3', 'e4m3/channel@f16',
  'kmeans2/channel', 'kmeans8/tensor', 'ternary/channel@f16', 'binary/g64', 'nf4/b128',
];
export const spellings: readonly string[] = [...new Set([...formatNames(), ...others].map((spelling) => parseFormat(spelling).name))];

const rows = 6;
const cols = 512;

/** Normal values whose rows differ in scale by powers of ten, with outliers, a row of zeros and one of subnormals. */
export function seededMatrix(seed: number): Float32Array {
  const row = (r: number) => (r === 2 ? 0 : r === 4 ? 2 ** -140 : 10 ** (r - 3));
  return Float32Array.from({ length: rows * cols }, (_, i) =>
    normal(seed, 0, i) * row(Math.floor(i / cols)) * (uniform(seed, 1, i) < 0.01 ? 20 : 1));
}

const importance = (): Float32Array => Float32Array.from({ length: cols }, (_, i) => normal(9, 2, i) ** 2);

/** The searches and rules that a format listens to. */
function optionsOf({ family, name }: NumberFormat): Readonly<Record<string, EncodeOptions>> {
  if (family === 'float') return { plain: {} };
  if (family === 'ggml') return { plain: {}, importance: { importance: importance() } };
  return {
    plain: {}, mse: { search: 'mse' }, weighted: { search: 'p2.4', importance: importance() }, away: { rounding: 'rhaz' },
    ...(family === 'microscaling' && !name.startsWith('nvfp4') ? { ceil: { scaleRule: 'ceil' }, even: { scaleRule: 'even' }, search: { scaleRule: 'search' } } : {}),
  };
}

const quantizedDigest = ({ codes, scales, zeros, tensorScale, codebook, doubleQuantized, blocks, squaredError }: Quantized, decoded: Float32Array) =>
  digest(codes, scales, zeros, codebook, blocks, doubleQuantized?.codes, doubleQuantized?.scales, doubleQuantized?.map,
    Float64Array.of(tensorScale ?? 1, doubleQuantized?.offset ?? 0, squaredError), decoded);

/** Codes, scales, error and decoded values of every format under every option, hashed. */
export async function formatHashes(): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  const values = seededMatrix(1);
  for (const spelling of spellings) {
    const format = parseFormat(spelling);
    for (const [name, options] of Object.entries(optionsOf(format))) {
      const quantized = format.encode(values, rows, cols, options);
      hashes[`${spelling} ${name}`] = await quantizedDigest(quantized, format.decode(quantized));
    }
  }
  return hashes;
}

/** Bytes of one block of a GGUF type from the formula of the published vectors, as hex. */
export function goldenBlock(type: string, input: 'V' | 'ternary', block: number): string {
  const V = (i: number) => ((((31 * i * i + 17 * i + 11) % 257) - 128) * (1 + Math.floor(i / 32))) / 400;
  const ternary = (i: number) => 0.5 * (((7 * i + Math.floor(i / 3)) % 3) - 1);
  const values = Float32Array.from({ length: block }, (_, i) => (input === 'V' ? V(i) : ternary(i)));
  const { blocks } = parseFormat(type, 'ggml').encode(values, 1, block);
  return Array.from(blocks ?? [], (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Elementary functions, halves and random numbers over wide grids. */
export async function numericHashes(): Promise<Record<string, string>> {
  const count = 20_000;
  const grid = (f: (i: number) => number) => digest(Float64Array.from({ length: count }, (_, i) => f(i)));
  const positive = (i: number) => 2 ** ((i % 601) - 300) * (1 + uniform(3, 0, i));
  const every16 = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const values = Float32Array.from({ length: count }, (_, i) => normal(4, 0, i) * 10 ** ((i % 12) - 7));
  return {
    exp: await grid((i) => exp((i - count / 2) / 15)), log: await grid((i) => log(positive(i))), log2: await grid((i) => log2(positive(i))),
    pow: await grid((i) => pow(positive(i), (i % 37) / 9 - 2)), normal: await grid((i) => normal(5, 1, i)), uniform: await grid((i) => uniform(5, 2, i)),
    inverseNormal: await grid((i) => inverseNormal((i + 0.5) / count)), permutation: await digest(permutation(6, 0, count)),
    f16: await digest(encodeF16(values), finite(decodeF16(every16))), bf16: await digest(encodeBf16(values), finite(decodeBf16(every16))),
  };
}

/** Bits of a NaN are nobody's promise. */
const finite = (values: Float32Array): Float32Array => values.map((value) => (Number.isNaN(value) ? 0 : value));
