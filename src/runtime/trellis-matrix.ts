/** Trellis codes repacked for the kernels, which multiply them as they are (kernels/lowbit/trellis.ts). */
import { panelRows, wideTop } from '../engine/kernels/lowbit.ts';
import { formWords, tileBytes, type TrellisForm } from '../engine/kernels/trellis-tiles.ts';
import type { TrellisCodes } from '../formats/coded.ts';
import { packWide, unpackWide } from '../formats/packing/wide.ts';
import { oneMad, stateValues, weightsPerState, type TrellisCode } from '../formats/trellis/codes.ts';
import type { TrellisFormat } from '../formats/trellis/trellis.ts';
import type { Arena } from './arena.ts';

/** Addresses of a packed matrix; `scales` hold a float for each row of all panels. */
export interface PackedTrellis { readonly weights: number; readonly scales: number; readonly form: number; readonly bytes: number }

/** Levels of states as integers of at most 2047, [states, weights of a state], and what one counts, the same for all widths of a step. */
function integerStates(code: TrellisCode, stateBits: number, stepBits: number): { readonly levels: Int16Array; readonly step: number } {
  const values = stateValues(code, stateBits, stepBits);
  const [states, perState] = [2 ** stateBits, weightsPerState[code]];
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  // Sums of four bytes are integers as they are.
  const step = code === '1mad' ? largest / Math.round(Math.abs(oneMad(values.findIndex((value) => Math.abs(value) === largest))) * 147.800537109375) : highest(code, stateBits) / wideTop;
  return { step, levels: Int16Array.from({ length: states * perState }, (_, i) => Math.round(values[(i % perState) * states + Math.floor(i / perState)] / step)) };
}

/** The largest value of a code: tables of pairs grow with the width of a step, and matrices have two of them. */
const highest = (code: TrellisCode, stateBits: number): number =>
  (code === 'hyb' ? [1, 9, 10] : [1]).reduce((most, stepBits) => stateValues(code, stateBits, stepBits).reduce((top, value) => Math.max(top, Math.abs(value)), most), 0);

const tables = new WeakMap<Arena, Map<string, { readonly at: number; readonly step: number }>>();

/** Where a table lies; matrices of one memory share it. */
function tableOf(arena: Arena, { code, stateBits }: TrellisFormat, stepBits: number): { readonly at: number; readonly step: number } {
  const own = tables.get(arena) ?? tables.set(arena, new Map()).get(arena)!;
  const key = `${code} ${stateBits} ${code === 'hyb' ? stepBits : 0}`;
  let found = own.get(key);
  if (found === undefined) {
    const { levels, step } = integerStates(code, stateBits, stepBits);
    const at = arena.take(levels.byteLength);
    arena.bytesAt(at, levels.byteLength).set(new Uint8Array(levels.buffer));
    own.set(key, found = { at, step });
  }
  return found;
}

export function packTrellis({ format, codes, scales }: TrellisCodes, rows: number, cols: number, arena: Arena): PackedTrellis {
  const { strips, runs, stripBytes } = format.layout(rows, cols);
  const perState = weightsPerState[format.code];
  const steps = 256 / perState;
  const kinds = runs.map(({ tiles, stepBits, tileBytes: stored }) => ({ tiles, stepBits, stored, held: tileBytes(stepBits, perState), table: tableOf(arena, format, stepBits) }));
  const heldStrip = kinds.reduce((sum, { tiles, held }) => sum + tiles * held, 0);
  const [first, second = first] = kinds;
  const words: TrellisForm = {
    across: Math.ceil(cols / 16), few: first.tiles, bits: first.stepBits, table: first.table.at, moreBits: second.stepBits, moreTable: second.table.at,
    ones: 2 ** format.stateBits - 1, perState,
  };
  const panels = Math.ceil(rows / panelRows);
  const [weights, sides, form] = [arena.take(strips * heldStrip), arena.take(4 * panels * panelRows), arena.take(4 * formWords.length)];
  new Uint32Array(arena.memory.buffer, form, formWords.length).set(formWords.map((name) => words[name]));
  // All kinds count in the same steps.
  arena.floats(sides, panels * panelRows).set(scales.map((scale) => scale * first.table.step));
  const W = arena.bytesAt(weights, strips * heldStrip);
  for (let strip = 0; strip < strips; strip++) {
    let [from, to] = [strip * stripBytes, strip * heldStrip];
    for (const { tiles, stepBits, stored, held } of kinds) {
      for (let tile = 0; tile < tiles; tile++, from += stored, to += held) {
        packWide(unpackWide(codes, stepBits, from, steps).reverse(), stepBits, W, to);
        W.copyWithin(to + stored, to, to + held - stored);
      }
    }
  }
  return { weights, scales: sides, form, bytes: strips * heldStrip + 4 * panels * panelRows };
}
