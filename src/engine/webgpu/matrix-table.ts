/** Tables of 16 levels as kernels hold them: 16 floats, 16 words with the same as integers, and what one of these counts. */
import { formOf, isTable, type MatrixLayout } from './matrix-layout.ts';
import { trellisStep } from './matrix-trellis.ts';

/** Bits of the lower of the two bytes that a level of more than 8 bits takes: both are signed, and level = low + 128 · high. */
const lowBits = 7;

/** An integer as kernels take it apart: its low byte in bits 0 to 7, its high one in 16 to 23. */
export function levelBytes(integer: number, wide: boolean): number {
  const low = wide ? ((integer + 64) & 127) - 64 : integer;
  return ((low & 255) | ((((integer - low) >> lowBits) & 255) << 16)) >>> 0;
}

/** Words of a table. */
export function tableWords(levels: ArrayLike<number>, integers: ArrayLike<number>, step: number, wide: boolean): Uint32Array {
  const words = new Uint32Array(36);
  const floats = new Float32Array(words.buffer);
  floats.set(levels);
  for (let i = 0; i < integers.length; i++) words[16 + i] = levelBytes(integers[i], wide);
  floats[32] = step;
  return words;
}

/** Room for a table beside the threads of a workgroup, and `fn openTable(lane)`, which fills it; as integers for inputs that are rounded. Nothing without a table. */
export function openTable(layout: MatrixLayout, rounded: boolean): string {
  if (!isTable(layout)) return '';
  // Every lane reads a bank of its own, or the word that others read.
  return `
var<workgroup> levels: array<${rounded ? 'u32' : 'f32'}, 16>;
fn openTable(lane: u32) { if (lane < 16u) { levels[lane] = ${rounded ? 'wTable[16u + lane]' : 'bitcast<f32>(wTable[lane])'}; } workgroupBarrier(); }`;
}
export const opensTable = (layout: MatrixLayout): string => (isTable(layout) ? 'openTable(lane);' : '');

/** Side of a group for sums of integers, which count steps of a table. */
export const integerSide = (layout: MatrixLayout, at: string): string => `side(${at})${formOf(layout).table === undefined ? '' : ` * ${isTable(layout) ? 'bitcast<f32>(wTable[32])' : trellisStep}`}`;
