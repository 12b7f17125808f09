/**
 * Trellis-coded weights (QTIP, Tseng et al. 2024; fractional widths: Q-Palette, Lee and Song 2025). Tiles of 16 by 16
 * weights, row after row, are one sequence: a state of L bits stands for one or two weights, each step shifts k new bits in
 * from below, and the sequence bites its tail, so that a tile costs its new bits alone. Where the width asks for k + f bits
 * a step, that fraction of the columns, the last ones, takes k + 1. One scale per row.
 *
 * Byte order, version 1: strips of 16 rows from the top, in each its tiles from the left, in each its steps in order; the
 * new bits of a step together, first step in the lowest bits. Rows and columns are padded with zeros to whole tiles.
 */
import { blockCols, encodeBlocks, type BlockFormat } from '../column-blocks.ts';
import { rowScales, rowScaleType } from '../gaussian-scale.ts';
import { packWide, unpackWide } from '../packing/wide.ts';
import { errors } from '../scaled.ts';
import { stateValues, weightsPerState, type TrellisCode } from './codes.ts';
import type { Trellis } from './viterbi.ts';

export const tileRows = 16;
const tileWeights = tileRows * blockCols;
export const defaultStateBits = 12;

/** Pairs from a table below 4 bits, sums of bytes above: what errs less at 12 state bits. */
export const defaultCode = (bits: number): TrellisCode => (bits < 4 ? 'hyb' : '1mad');

export interface TrellisFormat extends BlockFormat {
  readonly code: TrellisCode;
  readonly stateBits: number;
  /** Tiles side by side with k and with k + 1 bits a step, and the trellises of both. */
  layout(rows: number, cols: number): TrellisLayout;
}

export interface TrellisLayout {
  readonly strips: number;
  /** Runs of equal tiles from the left. */
  readonly runs: readonly { readonly first: number; readonly tiles: number; readonly stepBits: number; readonly tileBytes: number }[];
  readonly stripBytes: number;
}

export const isTrellisFormat = (format: object): format is TrellisFormat => 'stateBits' in format;

const trellises = new Map<string, Trellis>();

export function trellisOf(code: TrellisCode, stateBits: number, stepBits: number): Trellis {
  const key = `${code} ${stateBits} ${stepBits}`;
  let found = trellises.get(key);
  if (found === undefined) trellises.set(key, found = { stateBits, stepBits, perState: weightsPerState[code], values: stateValues(code, stateBits, stepBits) });
  return found;
}

/** Why a width cannot be had with a code, or undefined. */
export function refusedWidth(bits: number, code: TrellisCode, stateBits: number): string | undefined {
  const perStep = bits * weightsPerState[code];
  if (!(bits >= 1 && bits <= 5 && Number.isInteger(4 * bits))) return 'widths are 1 to 5 bits in steps of a quarter';
  if (!(stateBits >= 8 && stateBits <= 16)) return 'states have 8 to 16 bits';
  return Math.ceil(perStep) > stateBits - 2 ? `${Math.ceil(perStep)} new bits a step leave no memory in ${stateBits}` : undefined;
}

export function trellisFormat(bits: number, code: TrellisCode = defaultCode(bits), stateBits = defaultStateBits): TrellisFormat {
  const perState = weightsPerState[code];
  const steps = tileWeights / perState;
  const low = Math.floor(bits * perState);
  const more = bits * perState - low;
  const name = `tcq${bits}${stateBits === defaultStateBits ? '' : `/l${stateBits}`}${code === defaultCode(bits) ? '' : `@${code}`}`;
  // Values are shrunk before the search where steps are coarse and widened where states are few: the measured least error.
  const gain = 1.1 - 0.07 * bits + 0.0125 * (stateBits - defaultStateBits);

  function layout(rows: number, cols: number): TrellisLayout {
    const across = Math.ceil(cols / blockCols);
    const wide = Math.round(more * across);
    const run = (first: number, tiles: number, stepBits: number) => ({ first, tiles, stepBits, tileBytes: (steps * stepBits) / 8 });
    const runs = [run(0, across - wide, low), run(across - wide, wide, low + 1)].filter(({ tiles }) => tiles > 0);
    return { strips: Math.ceil(rows / tileRows), runs, stripBytes: runs.reduce((sum, { tiles, tileBytes }) => sum + tiles * tileBytes, 0) };
  }

  /** Where the tiles of a block of columns begin in each strip, and their trellis. */
  function place({ runs }: TrellisLayout, first: number): { readonly at: number; readonly trellis: Trellis } {
    const tile = first / blockCols;
    let at = 0;
    for (const { first: begin, tiles, stepBits, tileBytes } of runs) {
      if (tile < begin + tiles) return { at: at + (tile - begin) * tileBytes, trellis: trellisOf(code, stateBits, stepBits) };
      at += tiles * tileBytes;
    }
    throw errors.codesMismatch({ format: name, length: tile, rows: 0, cols: first });
  }

  const format: TrellisFormat = {
    name, family: 'codebook', bits, group: Infinity, code, stateBits, layout,
    bitsPerWeight(rows, cols) {
      const { strips, stripBytes } = layout(rows, cols);
      return (8 * strips * stripBytes + rowScaleType.bits * rows) / Math.max(1, rows * cols);
    },
    refuses: () => undefined,
    fit: (values, rows, cols) => rowScales(values, rows, cols, 1 / gain),
    coder(scales, rows, cols, search) {
      const made = layout(rows, cols);
      const codes = new Uint8Array(made.strips * made.stripBytes);
      return {
        codes,
        encode(values, first, width) {
          const { at, trellis } = place(made, first);
          const sequences = new Float32Array(made.strips * tileWeights);
          for (let r = 0; r < rows; r++) {
            if (scales[r] === 0) continue;
            for (let c = 0; c < width; c++) sequences[r * blockCols + c] = values[r * width + c] / scales[r];
          }
          const states = search(trellis, sequences, tileWeights);
          for (let strip = 0; strip < made.strips; strip++) packWide(states.subarray(strip * steps, (strip + 1) * steps), trellis.stepBits, codes, strip * made.stripBytes + at);
          const decoded = new Float32Array(rows * width);
          for (let r = 0; r < rows; r++) {
            for (let c = 0; c < width; c++) decoded[r * width + c] = scales[r] * valueAt(trellis, states, r * blockCols + c);
          }
          return decoded;
        },
      };
    },
    encode: (values, rows, cols, options) => encodeBlocks(format, values, rows, cols, options),
    decode({ rows, cols, codes, scales }) {
      const made = layout(rows, cols);
      if (codes.length !== made.strips * made.stripBytes) throw errors.codesMismatch({ format: name, length: codes.length, rows, cols });
      const out = new Float32Array(rows * cols);
      for (let first = 0; first < cols; first += blockCols) {
        const { at, trellis } = place(made, first);
        for (let strip = 0; strip < made.strips; strip++) {
          const states = statesOf(trellis, unpackWide(codes as Uint8Array, trellis.stepBits, strip * made.stripBytes + at, steps));
          for (let r = strip * tileRows; r < Math.min(rows, (strip + 1) * tileRows); r++) {
            for (let c = first; c < Math.min(cols, first + blockCols); c++) out[r * cols + c] = scales[r] * valueAt(trellis, states, (r % tileRows) * blockCols + c - first);
          }
        }
      }
      return out;
    },
  };
  return format;
}

/** Weight `i` of sequences that lie one after another. */
const valueAt = ({ values, perState, stateBits }: Trellis, states: Uint16Array, i: number): number =>
  (perState === 1 ? values[states[i]] : values[(i & 1) * 2 ** stateBits + states[i >> 1]]);

/** States of a sequence that bites its tail, from the new bits of its steps. */
export function statesOf({ stateBits, stepBits }: Pick<Trellis, 'stateBits' | 'stepBits'>, symbols: Uint16Array): Uint16Array {
  const mask = 2 ** stateBits - 1;
  let state = 0;
  for (let back = Math.ceil(stateBits / stepBits); back > 0; back--) state = ((state << stepBits) | symbols[symbols.length - back]) & mask;
  return symbols.map((symbol) => (state = ((state << stepBits) | symbol) & mask));
}
