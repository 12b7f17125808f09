/**
 * ggml blocks of two and three bits, and of four that stand for levels of a table, as codes and scales that stay as small
 * as in the file (kernels/lowbit/packed.ts).
 */
import { nibblePlace, panelRows, thirdBitPlace, twoBitPlace, type PackedForm } from '../engine/kernels/lowbit.ts';
import { doubled, ue4m3Half } from '../formats/ggml/fp4.ts';
import { iq4Levels } from '../formats/ggml/iq4.ts';
import type { BlockType } from '../tensor-ref.ts';
import type { Arena } from './arena.ts';
import { half, nibbles } from './unpack.ts';

/** One block: codes, and scales of groups or their halves as floats, or, where fine, as codes times `d`, less codes times `dmin`. */
export interface UnpackedBlock {
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
  readonly scaleCodes: Int8Array;
  readonly minCodes: Int8Array;
  d: number;
  dmin: number;
}

/** Form with the levels of its table, which are wide where they take more than 8 bits. */
export type PackedForms = Omit<PackedForm, 'table' | 'wide'> & { readonly levels?: Int8Array | Int16Array };

export interface PackedType {
  readonly form: PackedForms;
  unpack(bytes: Uint8Array, at: number, to: UnpackedBlock): void;
}

const iq4 = Int8Array.from(iq4Levels);
const e2m1 = Int8Array.from(doubled);

/** Two bits of 128 columns at a time: 32 bytes with columns l, l + 32, l + 64 and l + 96. */
function pairs(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let i = 0; i < 256; i++) codes[i] = (bytes[at + 32 * (i >> 7) + (i & 31)] >> (2 * ((i >> 5) & 3))) & 3;
}

export const packedTypes: Partial<Record<BlockType, PackedType>> = {
  q2_k: {
    form: { bits: 2, less: 0, fine: true, minima: true, halves: true },
    unpack(bytes, at, to) {
      to.d = half(bytes, at + 80);
      to.dmin = half(bytes, at + 82);
      for (let j = 0; j < 16; j++) {
        to.scaleCodes[j] = bytes[at + j] & 15;
        to.minCodes[j] = bytes[at + j] >> 4;
      }
      pairs(bytes, at + 16, to.codes);
    },
  },
  q3_k: {
    form: { bits: 3, less: 4, fine: true, minima: false, halves: true },
    unpack(bytes, at, to) {
      to.d = half(bytes, at + 108);
      for (let j = 0; j < 16; j++) {
        const low = (bytes[at + 96 + (j & 7)] >> (4 * (j >> 3))) & 15;
        to.scaleCodes[j] = (low | (((bytes[at + 104 + (j & 3)] >> (2 * (j >> 2))) & 3) << 4)) - 32;
      }
      pairs(bytes, at + 32, to.codes);
      for (let i = 0; i < 256; i++) to.codes[i] |= ((bytes[at + (i & 31)] >> (i >> 5)) & 1) << 2;
    },
  },
  tq2_0: {
    form: { bits: 2, less: 1, fine: true, minima: false, halves: false },
    unpack(bytes, at, to) {
      to.d = half(bytes, at + 64);
      to.scaleCodes.fill(1);
      pairs(bytes, at, to.codes);
    },
  },
  iq4_nl: {
    form: { bits: 4, less: 0, levels: iq4, fine: false, minima: false, halves: false },
    unpack(bytes, at, to) {
      to.scales[0] = half(bytes, at);
      nibbles(bytes, at + 2, 16, to.codes, 0);
    },
  },
  iq4_xs: {
    form: { bits: 4, less: 0, levels: iq4, fine: true, minima: false, halves: false },
    unpack(bytes, at, to) {
      to.d = half(bytes, at);
      const high = bytes[at + 2] | (bytes[at + 3] << 8);
      for (let j = 0; j < 8; j++) {
        to.scaleCodes[j] = (((bytes[at + 4 + (j >> 1)] >> (4 * (j & 1))) & 15) | (((high >> (2 * j)) & 3) << 4)) - 32;
        nibbles(bytes, at + 8 + 16 * j, 16, to.codes, 32 * j);
      }
    },
  },
  mxfp4: {
    form: { bits: 4, less: 0, levels: e2m1, fine: false, minima: false, halves: false },
    unpack(bytes, at, to) {
      to.scales[0] = 2 ** (bytes[at] - 128);
      nibbles(bytes, at + 1, 16, to.codes, 0);
    },
  },
  nvfp4: {
    form: { bits: 4, less: 0, levels: e2m1, fine: false, minima: false, halves: true },
    unpack(bytes, at, to) {
      for (let j = 0; j < 4; j++) {
        to.scales[j] = ue4m3Half[bytes[at + j]];
        nibbles(bytes, at + 4 + 8 * j, 8, to.codes, 16 * j);
      }
    },
  },
};

const parts = (form: PackedForms): number => (form.halves ? 2 : 1);
/** Bytes of the sides of eight groups of a panel. */
const fineBytes = (form: PackedForms): number => (32 + 64 * parts(form)) * (form.minima ? 2 : 1);

/** Bytes of a panel's codes in a group. */
export const packedGroupBytes = ({ bits }: PackedForms): number => bits * 32;
/** Bytes of all sides. */
export const sideBytes = (form: PackedForms, panels: number, groups: number): number =>
  (form.fine ? panels * Math.ceil(groups / 8) * fineBytes(form) : 4 * panels * groups * parts(form) * panelRows);

/** Views of what a matrix is packed into. */
interface PackedViews { readonly codes: Uint8Array; readonly sides: Uint8Array; readonly floats: Float32Array }

export function viewsOf(arena: Arena, { weights, scales, panels, groups }: Readonly<Record<'weights' | 'scales' | 'panels' | 'groups', number>>, form: PackedForms): PackedViews {
  const sides = sideBytes(form, panels, groups);
  return { codes: arena.bytesAt(weights, panels * groups * packedGroupBytes(form)), sides: arena.bytesAt(scales, sides), floats: arena.floats(scales, sides / 4) };
}

/** Puts a block, which begins at `group` of a panel's row, where the kernels read it. `index` numbers panels' groups. */
export function putBlock({ form }: Pick<PackedType, 'form'>, block: UnpackedBlock, index: number, lane: number, { codes, sides, floats }: PackedViews): void {
  const perPart = form.halves ? 16 : 32;
  for (let i = 0; i < block.codes.length; i++) {
    const at = (index + (i >> 5)) * packedGroupBytes(form);
    const place = form.bits === 4 ? nibblePlace(lane, i & 31) : twoBitPlace(lane, i & 31);
    codes[at + place.byte] |= (form.bits === 4 ? block.codes[i] : block.codes[i] & 3) << place.shift;
    if (form.bits === 3) {
      const third = thirdBitPlace(lane, i & 31);
      codes[at + third.byte] |= (block.codes[i] >> 2) << third.shift;
    }
  }
  const count = block.codes.length / perPart;
  if (!form.fine) {
    for (let j = 0; j < count; j++) floats[(index * parts(form) + j) * panelRows + lane] = block.scales[j];
    return;
  }
  const at = (index >> 3) * fineBytes(form);
  floats[at / 4 + lane] = block.d;
  if (form.minima) floats[at / 4 + panelRows + lane] = block.dmin;
  for (let j = 0; j < count; j++) {
    const to = at + (form.minima ? 64 : 32) + j * panelRows + lane;
    sides[to] = block.scaleCodes[j];
    if (form.minima) sides[to + 64 * parts(form)] = block.minCodes[j];
  }
}

/** A value as products see it. */
export function packedValue({ form }: Pick<PackedType, 'form'>, index: number, lane: number, column: number, { codes, sides, floats }: PackedViews): number {
  const at = index * packedGroupBytes(form);
  const part = form.halves ? column >> 4 : 0;
  const place = form.bits === 4 ? nibblePlace(lane, column) : twoBitPlace(lane, column);
  let code = (codes[at + place.byte] >> place.shift) & (form.bits === 4 ? 15 : 3);
  if (form.bits === 3) {
    const third = thirdBitPlace(lane, column);
    code |= ((codes[at + third.byte] >> third.shift) & 1) << 2;
  }
  const level = form.levels === undefined ? code - form.less : form.levels[code];
  if (!form.fine) return Math.fround(floats[(index * parts(form) + part) * panelRows + lane] * level);
  const block = (index >> 3) * fineBytes(form);
  const side = (from: number, by: number): number => Math.fround(floats[block / 4 + by + lane] * ((sides[block + from + ((index & 7) * parts(form) + part) * panelRows + lane] << 24) >> 24));
  const value = Math.fround(side(form.minima ? 64 : 32, 0) * level);
  return form.minima ? Math.fround(value - side(64 + 64 * parts(form), panelRows)) : value;
}

/** Room for a block of any type. */
export const emptyBlock = (size: number): UnpackedBlock => ({ codes: new Uint8Array(size), scales: new Float32Array(size / 16), scaleCodes: new Int8Array(size / 16), minCodes: new Int8Array(size / 16), d: 0, dmin: 0 });
