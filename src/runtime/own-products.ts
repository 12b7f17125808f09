/**
 * Matrices whose inputs are scaled, sorted or rounded to few bits first, or that have a branch of low rank beside them.
 * Integers of 4 bits in groups of 128 columns times inputs of 4 and 8 bits are products of integers with the branch in the
 * same pass (kernels/mixed); other formats of inputs are rounded by their codec and multiplied as floats are.
 */
import { blockSize, codeBytes, mixedKernels, packNibbles, packScales, type MixedKernels } from '../engine/kernels/mixed.ts';
import { sharedMixed } from '../engine/kernels/mixed-team.ts';
import type { TeamKernels } from '../engine/kernels/lowbit-team.ts';
import { hadamardFast } from '../engine/kernels/hadamard.ts';
import { groupSize, inputBytes, type LowBitKernels, type RoundedPlace } from '../engine/kernels/lowbit.ts';
import type { CodedMatrix, InputForm, LowRankBranch, MatrixCodes } from '../formats/coded.ts';
import type { NumberFormat } from '../formats/format.ts';
import { isMixed } from '../formats/mixed-blocks.ts';
import { rotateRows, rotateRowsBack } from '../formats/rotated.ts';
import { readFloats, readNumbers } from '../graph/values.ts';
import { floatTensor, type TensorRef } from '../tensor-ref.ts';
import type { Arena } from './arena.ts';
import { multiply, packMatrix, padded, type PackedMatrix } from './packed-matrix.ts';

/** Multiplies tokens [tokens, padded(cols)] that are not rounded yet, and gives [tokens, stride]. */
export interface OwnProduct {
  readonly bytes: number;
  multiply(kernels: LowBitKernels, x: number, tokens: number, out: number, stride: number): void;
}

/** Tokens that are multiplied at a time. */
const together = 32;

interface Room { readonly mixed: MixedKernels; shared?: MixedKernels; at: number; bytes: number }
const rooms = new WeakMap<Arena, Room>();

/** Kernels of a memory, and room in it that all matrices share, as one multiplies after the other. */
function roomOf(arena: Arena, bytes: number): Room {
  const room = rooms.get(arena) ?? { mixed: mixedKernels(arena.memory), at: 0, bytes: 0 };
  rooms.set(arena, room);
  if (room.bytes < bytes) Object.assign(room, { at: arena.take(bytes), bytes });
  return room;
}

/** Those of a team's threads, which then must know them, where the kernels are a team's. */
function mixedOf(room: Room, arena: Arena, kernels: LowBitKernels): MixedKernels {
  const { share } = kernels as Partial<TeamKernels>;
  return share === undefined ? room.mixed : room.shared ??= sharedMixed(arena.memory, share);
}

/** What goes into a product of integers: widths of the blocks of inputs, or undefined where the kernels have none. */
export function blockWidths(codes: MatrixCodes, format: NumberFormat | undefined, cols: number): Uint8Array | undefined {
  if (codes.bits !== 4 || codes.levels !== undefined || codes.zeros !== undefined || codes.group !== blockSize || format === undefined) return undefined;
  const blocks = Math.ceil(cols / blockSize);
  if (isMixed(format)) return /^int4\/g128\+int8at/.test(format.name) ? Uint8Array.from({ length: blocks }, (_, block) => Number(format.mixed.groups.includes(block))) : undefined;
  return format.name === 'int4/g128' || format.name === 'int8/g128' ? new Uint8Array(blocks).fill(Number(format.name === 'int8/g128')) : undefined;
}

/** A product with forms of inputs or a branch; undefined where the matrix has neither. */
export async function packOwn(tensor: TensorRef, arena: Arena, kernels?: (memory: WebAssembly.Memory) => MixedKernels): Promise<OwnProduct | undefined> {
  const { coded } = tensor;
  if (coded?.inputs === undefined && coded?.branch === undefined && coded?.rotated !== true) return undefined;
  const [, cols] = tensor.shape;
  const codes = await coded.read();
  const wide = codes === undefined || coded.rotated === true ? undefined : blockWidths(codes, coded.inputs?.format, cols);
  const before = await placesOf(coded.inputs ?? {}, wide === undefined ? padded(cols) : Math.ceil(cols / blockSize) * blockSize, cols);
  const branch = inFours(await coded.branch?.(), tensor.shape);
  return wide === undefined ? roundedProduct(tensor, coded, codes, before, branch, arena) : mixedProduct(tensor, codes!, wide, before, branch, arena, kernels?.(arena.memory));
}

/** A branch whose rank is a multiple of four, as vectors are written. */
function inFours(branch: LowRankBranch | undefined, [rows, cols]: readonly number[]): LowRankBranch | undefined {
  if (branch === undefined || branch.rank % 4 === 0) return branch;
  const rank = Math.ceil(branch.rank / 4) * 4;
  const down = new Float32Array(rank * cols);
  down.set(branch.down);
  return { rank, down, up: Float32Array.from({ length: rows * rank }, (_, i) => (i % rank < branch.rank ? branch.up[Math.floor(i / rank) * branch.rank + (i % rank)] : 0)) };
}

interface Before { readonly factors: Float32Array | undefined; readonly order: Uint32Array | undefined; readonly format: NumberFormat | undefined }

/** Numbers of a form; an order is filled up with the places behind the columns. */
async function placesOf({ factors, order, format }: InputForm, width: number, cols: number): Promise<Before> {
  const listed = order === undefined ? undefined : await readNumbers(order);
  return {
    format, factors: factors === undefined ? undefined : await readFloats(factors),
    order: listed === undefined ? undefined : Uint32Array.from({ length: width }, (_, i) => (i < cols ? listed[i] : i)),
  };
}

/** Tokens [tokens, padded(cols)] as rows of another width, by the factors of their columns. */
function spread(arena: Arena, x: number, cols: number, tokens: number, to: number, width: number, factors: Float32Array | undefined): void {
  const [from, rows] = [arena.floats(x, tokens * padded(cols)), arena.floats(to, tokens * width)];
  for (let t = 0; t < tokens; t++) {
    const row = rows.subarray(t * width, (t + 1) * width).fill(0);
    row.set(from.subarray(t * padded(cols), t * padded(cols) + cols));
    factors?.forEach((factor, c) => { row[c] *= factor; });
  }
}

async function packFactor(name: string, values: Float32Array, rows: number, cols: number, arena: Arena): Promise<PackedMatrix> {
  return packMatrix(floatTensor(name, [rows, cols], values), arena);
}

/** W4A4 and W4A8 by block, with the second factor of the branch in the same pass. */
async function mixedProduct(tensor: TensorRef, { codes, scales }: MatrixCodes, wide: Uint8Array, { factors, order }: Before, branch: LowRankBranch | undefined, arena: Arena, given?: MixedKernels): Promise<OwnProduct> {
  const [rows, cols] = tensor.shape;
  const blocks = wide.length;
  const width = blocks * blockSize;
  const put = (bytes: Uint8Array): number => {
    const at = arena.take(bytes.byteLength);
    arena.bytesAt(at, bytes.byteLength).set(bytes);
    return at;
  };
  const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);
  const nibbles = packNibbles(Int8Array.from(codes, (code) => code - 8), rows, cols);
  const [weights, weightScales, widths] = [put(nibbles), put(bytesOf(packScales(scales, rows, blocks))), put(wide)];
  const places = order === undefined ? 0 : put(bytesOf(order));
  const down = branch === undefined ? undefined : await packFactor('down', branch.down, branch.rank, cols, arena);
  const up = branch === undefined ? 0 : put(bytesOf(packScales(branch.up, rows, branch.rank)));
  const tokenBytes = codeBytes(wide);
  const lowWidth = branch === undefined ? 0 : padded(branch.rank);
  const [floats, lows, inputCodes, sides] = [4 * together * width, 4 * together * lowWidth, together * tokenBytes, 4 * together * blocks];
  const room = roomOf(arena, floats + 4 * together * padded(cols) + lows + inputCodes + 2 * sides + 256);
  const copies = factors !== undefined || width !== padded(cols);
  return {
    bytes: nibbles.byteLength + 4 * Math.ceil(rows / 4) * 4 * (blocks + (branch?.rank ?? 0)) + (down?.bytes ?? 0),
    multiply(kernels, x, tokens, out, stride) {
      const mixed = given ?? mixedOf(room, arena, kernels);
      for (let first = 0; first < tokens; first += together) {
        const count = Math.min(together, tokens - first);
        const from = x + 4 * first * padded(cols);
        const low = room.at + floats + 4 * together * padded(cols);
        const inputs = { tokens: count, blocks, wide: widths, codes: low + lows, width: tokenBytes, scales: low + lows + inputCodes, lifts: low + lows + inputCodes + sides };
        if (copies) spread(arena, from, cols, count, room.at, width, factors);
        if (down !== undefined) {
          // Before a block is filled up, as the first factor has the columns of the layer.
          const scaled = room.at + floats;
          spread(arena, from, cols, count, scaled, padded(cols), factors);
          kernels.productFloat({ weights: down.weights, groups: down.groups, tokens: count, out: low, stride: branch!.rank, first: 0, last: down.panels }, scaled);
        }
        mixed.roundBlocks(copies ? room.at : from, places, inputs);
        mixed.product(weights, weightScales, inputs, { out: out + 4 * first * stride, stride, first: 0, last: Math.ceil(rows / 4) }, branch === undefined ? undefined : { up, down: low, rank: branch.rank });
      }
    },
  };
}

/** Turns the first `cols` values of rows [tokens, width]. */
function turn(arena: Arena, at: number, tokens: number, cols: number, width: number, by: typeof rotateRows): void {
  const rows = arena.floats(at, tokens * width);
  for (let t = 0; t < tokens; t++) rows.set(by(rows.slice(t * width, t * width + cols), cols, hadamardFast), t * width);
}

/** Inputs rounded by their codec, if at all, and then taken as 16 bits, which stand for floats; the branch is two float products more. */
async function roundedProduct(tensor: TensorRef, coded: CodedMatrix, codes: MatrixCodes | undefined, { factors, order, format }: Before, branch: LowRankBranch | undefined, arena: Arena): Promise<OwnProduct> {
  const [rows, cols] = tensor.shape;
  const width = padded(cols);
  const { trellis } = coded;
  const inner = await packMatrix({ ...tensor, coded: { read: async () => codes, ...(trellis === undefined ? {} : { trellis }) } }, arena);
  // A matrix that no layout holds is float, and turned back already.
  const rotated = coded.rotated === true && inner.layout !== 'float';
  const [down, up] = branch === undefined ? [] : [await packFactor('down', branch.down, branch.rank, cols, arena), await packFactor('up', branch.up, rows, branch.rank, arena)];
  const lowWidth = branch === undefined ? 0 : padded(branch.rank);
  const [floats, lows] = [4 * together * width, 4 * together * lowWidth];
  const codeRoom = together * (width / groupSize) * inputBytes;
  const room = roomOf(arena, 2 * floats + lows + 4 * together * padded(rows) + codeRoom);
  return {
    bytes: inner.bytes + (down?.bytes ?? 0) + (up?.bytes ?? 0),
    multiply(kernels, x, tokens, out, stride) {
      for (let first = 0; first < tokens; first += together) {
        const count = Math.min(together, tokens - first);
        const [scaled, taken, low, beside] = [room.at, room.at + floats, room.at + 2 * floats, room.at + 2 * floats + lows];
        const to = out + 4 * first * stride;
        const rounded: RoundedPlace = { at: beside + 4 * together * padded(rows), bits: 16 };
        spread(arena, x + 4 * first * width, cols, count, scaled, width, factors);
        const [from, values] = [arena.floats(scaled, count * width), arena.floats(taken, count * width)];
        for (let t = 0; t < count; t++) for (let c = 0; c < width; c++) values[t * width + c] = from[t * width + (order?.[c] ?? c)];
        // Each token by itself, so that a text gives the same bits however it is cut.
        if (format !== undefined) for (let t = 0; t < count; t++) values.set(format.decode(format.encode(values.slice(t * width, t * width + cols), 1, cols)), t * width);
        if (rotated) turn(arena, taken, count, cols, width, rotateRows);
        kernels.roundInputs(taken, (count * width) / groupSize, rounded);
        multiply(kernels, inner, { x: taken, rounded }, count, to, stride);
        if (rotated) turn(arena, to, count, rows, stride, rotateRowsBack);
        if (down === undefined || up === undefined) continue;
        arena.floats(low, count * lowWidth).fill(0);
        kernels.productFloat({ weights: down.weights, groups: down.groups, tokens: count, out: low, stride: lowWidth, first: 0, last: down.panels }, scaled);
        kernels.productFloat({ weights: up.weights, groups: up.groups, tokens: count, out: beside, stride, first: 0, last: up.panels }, low);
        kernels.addTo(to, beside, count * stride);
      }
    },
  };
}
