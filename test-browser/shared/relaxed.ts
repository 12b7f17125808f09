/** Kernels whose relaxed builds give the bits of the plain twins; runs in a page, and in Node for what is expected. */
import { attention, causal, fastestAttention, groupings, type AttentionInputs } from '../../src/engine/kernels/attention.ts';
import { plainAttention } from '../../src/engine/kernels/attention-plain.ts';
import type { Build } from '../../src/engine/kernels/builds.ts';
import { fastestLookup, lookupKernels, packDigits, panelRows, packRowScales, tableBytes, ternary, type LookupKernels } from '../../src/engine/kernels/lookup.ts';
import { plainLookup } from '../../src/engine/kernels/lookup-plain.ts';
import { fastestBuild, groupSize, inputBytes, lowBitKernels, panelRows as lowBitRows, reservedBytes, type LowBitKernels, type PackedForm } from '../../src/engine/kernels/lowbit.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { blockSize, codeBytes, fastestMixed, mixedKernels, packNibbles, packScales, type MixedKernels } from '../../src/engine/kernels/mixed.ts';
import { plainMixed } from '../../src/engine/kernels/mixed-plain.ts';
import { normal, permutation } from '../../src/numeric/random.ts';
import { digest } from './digest.ts';

const draws = (count: number, stream: number): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(11, stream, i));

/** What each kernel chooses here. */
export const builds = (): Record<string, Build> => ({ lowbit: fastestBuild(), mixed: fastestMixed(), lookup: fastestLookup(), attention: fastestAttention() });

/** Puts values into a memory, one after another, and gives their addresses. */
function placer(memory: WebAssembly.Memory, end = 1024): (values: { readonly buffer: ArrayBufferLike; readonly byteOffset: number; readonly byteLength: number }) => number {
  return (values) => {
    const at = end;
    new Uint8Array(memory.buffer).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    end += Math.ceil(values.byteLength / 64) * 64;
    return at;
  };
}

/** Products that only add. */
function sums(make: (memory: WebAssembly.Memory) => LookupKernels): Float32Array {
  const [rows, blocks, tokens] = [40, 3, 3];
  const cols = blocks * 128;
  const memory = new WebAssembly.Memory({ initial: 2 });
  const put = placer(memory);
  const panels = Math.ceil(rows / panelRows);
  const [x, weights] = [put(draws(tokens * cols, 8)), put(packDigits(Uint8Array.from({ length: rows * cols }, (_, i) => (i * 7 + (i >> 4)) & 3), rows, cols))];
  const scales = put(packRowScales(rows, cols, (row, block) => 0.1 + row / 64 + block));
  const inputs = { tokens, blocks, tables: put(new Uint8Array(tokens * tableBytes(blocks))), scales: put(new Float32Array(tokens * blocks)) };
  const out = put(new Float32Array(tokens * panels * panelRows));
  const kernels = make(memory);
  kernels.tables(x, ternary, false, inputs);
  for (const [first, last] of [[0, 1], [1, panels]]) kernels.product(weights, scales, inputs, { out, stride: panels * panelRows, first, last, panels });
  return new Float32Array(memory.buffer, out, tokens * panels * panelRows).slice();
}

/** Products of blocks of both widths, with a branch, for odd and even numbers of tokens, by a share of the panels at a time. */
function product(make: (memory: WebAssembly.Memory) => MixedKernels, flags: readonly number[], tokens: number): Float32Array {
  const [rows, blocks, rank] = [20, flags.length, 3];
  const cols = blocks * blockSize;
  const memory = new WebAssembly.Memory({ initial: 8 });
  const F = new Float32Array(memory.buffer);
  const put = placer(memory);
  const codes = Int8Array.from({ length: rows * cols }, (_, i) => (i % 5 === 0 ? -8 : i % 5 === 1 ? 7 : Math.max(-8, Math.min(7, Math.round(3 * normal(12, 0, i))))));
  const [x, order, wide] = [put(draws(tokens * cols, 1)), put(Uint32Array.from(permutation(3, 0, cols))), put(Uint8Array.from(flags))];
  const [weights, scales] = [put(packNibbles(codes, rows, cols)), put(packScales(draws(rows * blocks, 2).map(Math.abs), rows, blocks))];
  const branch = { up: put(draws(rows * rank, 3)), down: put(draws(tokens * rank, 4)), rank };
  const inputs = { tokens, blocks, wide, codes: put(new Int16Array(tokens * cols)), width: codeBytes(flags), scales: put(new Float32Array(tokens * blocks)), lifts: put(new Int32Array(tokens * blocks)) };
  const out = put(new Float32Array(tokens * rows));
  const kernels = make(memory);
  kernels.roundBlocks(x, order, inputs);
  for (const [first, last] of [[0, 2], [2, 5]]) kernels.product(weights, scales, inputs, { out, stride: rows, first, last }, branch);
  return F.slice(out / 4, out / 4 + tokens * rows);
}

/** Values of tables: those of few bits, of 8 and of 12, each to its ends. */
const levels: Readonly<Record<string, readonly number[]>> = {
  small: Array.from({ length: 16 }, (_, code) => Math.floor((code * 127) / 15) - 16),
  bytes: Array.from({ length: 16 }, (_, code) => 17 * code - 128),
  wide: Array.from({ length: 16 }, (_, code) => 273 * code - 2048),
};

/** Products of codes of two to four bits, with rows that end within a panel. */
function packed(make: (memory: WebAssembly.Memory) => LowBitKernels, form: Omit<PackedForm, 'table' | 'wide'>, table: readonly number[] | undefined, tokens: number, bits: 8 | 16): Float32Array {
  const [panels, groups] = [3, 16];
  const memory = new WebAssembly.Memory({ initial: 8 });
  const put = placer(memory, reservedBytes);
  const x = put(draws(tokens * groups * groupSize, 9));
  const weights = put(Uint8Array.from({ length: panels * groups * form.bits * 32 }, (_, i) => (i % 3 === 0 ? 255 : (i * 37 + (i >> 8)) & 255)));
  // Where scales are fine, their floats are ones of these and their bytes any.
  const sides = put(draws(panels * groups * lowBitRows * 8, 10));
  const at = put(new Uint8Array(tokens * groups * inputBytes));
  const out = put(new Float32Array(tokens * (panels * lowBitRows - 4)));
  const place = table === undefined ? 0 : put(Uint8Array.from([...table, ...table.map((level) => level >> 8)]));
  const kernels = make(memory);
  kernels.roundInputs(x, tokens * groups, { at, bits });
  const whole = { weights, groups, tokens, out, stride: panels * lowBitRows - 4, first: 0, last: panels };
  kernels.productPacked(whole, { ...form, table: place, wide: table === levels.wide }, sides, { at, bits });
  return new Float32Array(memory.buffer, out, tokens * whole.stride).slice();
}

async function packedProducts(make: (memory: WebAssembly.Memory) => LowBitKernels, found: Record<string, string>): Promise<void> {
  const plain = { less: 0, fine: false, minima: false, halves: false };
  const forms = [
    ...Object.entries(levels).flatMap(([name, table]) => [['', {}], [', fine', { fine: true }], [', of halves', { halves: true }]].map(([side, more]) => [`${name} table${side}`, { ...plain, bits: 4, ...(more as object) }, table] as const)),
    ['two bits', { ...plain, bits: 2, less: 1, fine: true }, undefined], ['two bits with minima', { ...plain, bits: 2, fine: true, minima: true, halves: true }, undefined],
    ['three bits', { ...plain, bits: 3, less: 4, fine: true, halves: true }, undefined],
  ] as const;
  for (const [name, form, table] of forms) for (const tokens of [1, 2, 5]) for (const bits of [8, 16] as const) found[`${name}, ${tokens} tokens, inputs of ${bits}`] = await digest(packed(make, form, table, tokens, bits));
}

async function all(lowBit: (memory: WebAssembly.Memory) => LowBitKernels, mixed: (memory: WebAssembly.Memory) => MixedKernels, lookup: (memory: WebAssembly.Memory) => LookupKernels, attend: typeof attention): Promise<Record<string, string>> {
  const found: Record<string, string> = { ternary: await digest(sums(lookup)) };
  await packedProducts(lowBit, found);
  for (const flags of [[0, 1, 0, 1, 1], [0, 0], [1, 1, 1]]) for (const tokens of [1, 2, 5]) found[`blocks of ${flags}, ${tokens} tokens`] = await digest(product(mixed, flags, tokens));
  const [rows, keys, width] = [150, 133, 20];
  const inputs: AttentionInputs = { query: draws(4 * rows * width, 5), keys: draws(2 * keys * width, 6), values: draws(2 * keys * width, 7), heads: 4, kvHeads: 2, width };
  for (const bits of [4, 8] as const) {
    for (const grouping of groupings) {
      for (const [mask, visible] of [['all keys', {}], ['causal', { visible: causal(rows, keys, 90) }]] as const) found[`${bits} bits by ${grouping}, ${mask}`] = await digest(attend(inputs, { lowBit: { bits, grouping }, ...visible }));
    }
  }
  return found;
}

export const ofBuild = (build: Build): Promise<Record<string, string>> => all((memory) => lowBitKernels(memory, build), (memory) => mixedKernels(memory, build), (memory) => lookupKernels(memory, build), (inputs, options) => attention(inputs, options, build));
export const ofTwins = (): Promise<Record<string, string>> => all(plainLowBit, plainMixed, plainLookup, plainAttention);
