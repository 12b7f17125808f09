/** Trellis codes repacked for the kernels, which multiply them as they are (kernels/lowbit/trellis.ts). */
import { panelRows, wideTop } from '../engine/kernels/lowbit.ts';
import { formWords, tileBytes, type TrellisForm } from '../engine/kernels/trellis-tiles.ts';
import type { TrellisCodes } from '../formats/coded.ts';
import { packWide, unpackWide } from '../formats/packing/wide.ts';
import { entryBitsOf, oneMad, weightsPerState } from '../formats/trellis/codes.ts';
import { trellisOf, type TrellisFormat } from '../formats/trellis/trellis.ts';
import type { Arena } from './arena.ts';

/** Addresses of a packed matrix; `scales` hold a float for each row of all panels. */
export interface PackedTrellis { readonly weights: number; readonly scales: number; readonly form: number; readonly bytes: number }

/** What one of the integers counts that levels of states become, for both widths of a step of a matrix: sums of four bytes are integers as they are, others become at most 2047. */
export function trellisStep({ code, stateBits }: TrellisFormat, widths: readonly number[]): number {
  const most = Math.max(...widths.map((stepBits) => trellisOf(code, stateBits, stepBits).values.reduce((top, value) => Math.max(top, Math.abs(value)), 0)));
  if (code !== '1mad') return most / wideTop;
  const sum = trellisOf(code, stateBits, widths[0]).values.findIndex((value) => Math.abs(value) === most);
  return most / Math.round(Math.abs(oneMad(sum)) * 147.800537109375);
}

const tables = new WeakMap<Arena, Map<string, number>>();

/** Where the levels [states, weights of a state] lie; matrices of one memory share them. */
function tableOf(arena: Arena, { code, stateBits }: TrellisFormat, stepBits: number, step: number): number {
  const own = tables.get(arena) ?? tables.set(arena, new Map()).get(arena)!;
  const key = `${code} ${stateBits} ${code === 'hyb' ? entryBitsOf(stepBits) : 0} ${step}`;
  let at = own.get(key);
  if (at === undefined) {
    const { values, perState } = trellisOf(code, stateBits, stepBits);
    const states = 2 ** stateBits;
    const levels = Int16Array.from({ length: states * perState }, (_, i) => Math.round(values[(i % perState) * states + Math.floor(i / perState)] / step));
    at = arena.take(levels.byteLength);
    arena.bytesAt(at, levels.byteLength).set(new Uint8Array(levels.buffer));
    own.set(key, at);
  }
  return at;
}

/** Strips of a matrix, and the runs of equal tiles in each, with their bytes in the file and as they are held. */
export interface TileRuns {
  readonly strips: number;
  readonly stripBytes: number;
  readonly heldStrip: number;
  readonly runs: readonly { readonly tiles: number; readonly stepBits: number; readonly stored: number; readonly held: number }[];
}

export function tileRuns(format: TrellisFormat, rows: number, cols: number): TileRuns {
  const { strips, runs, stripBytes } = format.layout(rows, cols);
  const held = runs.map(({ tiles, stepBits, tileBytes: stored }) => ({ tiles, stepBits, stored, held: tileBytes(stepBits, weightsPerState[format.code]) }));
  return { strips, stripBytes, runs: held, heldStrip: held.reduce((sum, run) => sum + run.tiles * run.held, 0) };
}

/** Tiles as kernels read them, first steps in the highest bits and four bytes repeated behind, into `to`. */
export function holdTiles({ format, codes }: TrellisCodes, { strips, stripBytes, heldStrip, runs }: TileRuns, to: Uint8Array): void {
  const steps = 256 / weightsPerState[format.code];
  for (let strip = 0; strip < strips; strip++) {
    let [from, at] = [strip * stripBytes, strip * heldStrip];
    for (const { tiles, stepBits, stored, held } of runs) {
      for (let tile = 0; tile < tiles; tile++, from += stored, at += held) {
        packWide(unpackWide(codes, stepBits, from, steps).reverse(), stepBits, to, at);
        to.copyWithin(at + stored, at, at + held - stored);
      }
    }
  }
}

export function packTrellis(codes: TrellisCodes, rows: number, cols: number, arena: Arena): PackedTrellis {
  const { format, scales } = codes;
  const tiles = tileRuns(format, rows, cols);
  const step = trellisStep(format, tiles.runs.map(({ stepBits }) => stepBits));
  const [first, second = first] = tiles.runs.map((run) => ({ ...run, table: tableOf(arena, format, run.stepBits, step) }));
  const words: TrellisForm = {
    across: Math.ceil(cols / 16), few: first.tiles, bits: first.stepBits, table: first.table, moreBits: second.stepBits, moreTable: second.table,
    ones: 2 ** format.stateBits - 1, perState: weightsPerState[format.code],
  };
  const panels = Math.ceil(rows / panelRows);
  const bytes = tiles.strips * tiles.heldStrip;
  const [weights, sides, form] = [arena.take(bytes), arena.take(4 * panels * panelRows), arena.take(4 * formWords.length)];
  new Uint32Array(arena.memory.buffer, form, formWords.length).set(formWords.map((name) => words[name]));
  arena.floats(sides, panels * panelRows).set(scales.map((scale) => scale * step));
  holdTiles(codes, tiles, arena.bytesAt(weights, bytes));
  return { weights, scales: sides, form, bytes: bytes + 4 * panels * panelRows };
}
