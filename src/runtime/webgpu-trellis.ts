/** Trellis codes on a WebGPU device, which multiplies them as they are (engine/webgpu/matrix-trellis.ts). */
import type { Gpu } from '../engine/webgpu/gpu.ts';
import { groupSize } from '../engine/webgpu/inputs.ts';
import { levelBytes } from '../engine/webgpu/matrix-table.ts';
import { trellisHeader, type TrellisHeader } from '../engine/webgpu/matrix-trellis.ts';
import type { TrellisCodes } from '../formats/coded.ts';
import { weightsPerState } from '../formats/trellis/codes.ts';
import { trellisOf, type TrellisFormat } from '../formats/trellis/trellis.ts';
import { holdTiles, tileRuns, trellisStep } from './trellis-matrix.ts';
import type { GpuMatrix } from './webgpu-matrix.ts';

const tables = new WeakMap<Gpu, Map<string, GPUBuffer>>();

/** Levels of the states of both widths, one after the other; matrices of one device share them. */
function levelsOf(gpu: Gpu, { code, stateBits }: TrellisFormat, widths: readonly number[], step: number): GPUBuffer {
  const own = tables.get(gpu) ?? tables.set(gpu, new Map()).get(gpu)!;
  const key = `${code} ${stateBits} ${widths}`;
  let held = own.get(key);
  if (held === undefined) {
    const each = widths.map((stepBits) => {
      const { values, perState } = trellisOf(code, stateBits, stepBits);
      const words = new Uint32Array(2 * values.length);
      const floats = new Float32Array(words.buffer);
      for (let i = 0; i < values.length; i++) {
        const value = values[(i % perState) * 2 ** stateBits + Math.floor(i / perState)];
        floats[2 * i] = value;
        words[2 * i + 1] = levelBytes(Math.round(value / step), true);
      }
      return words;
    });
    const all = new Uint32Array(each.reduce((sum, { length }) => sum + length, 0));
    each.reduce((at, words) => { all.set(words, at); return at + words.length; }, 0);
    own.set(key, held = gpu.buffer(`levels of ${code}`, all));
  }
  return held;
}

export function uploadTrellis(gpu: Gpu, name: string, codes: TrellisCodes, rows: number, cols: number): GpuMatrix {
  const { format } = codes;
  const tiles = tileRuns(format, rows, cols);
  const [first, second = first] = tiles.runs;
  const widths = tiles.runs.map(({ stepBits }) => stepBits);
  const step = trellisStep(format, widths);
  const groups = Math.ceil(cols / groupSize);
  const perState = weightsPerState[format.code];
  const states = 2 ** format.stateBits;
  const header: TrellisHeader = {
    groups, few: first.tiles, bits: first.stepBits, moreBits: second.stepBits, tile: first.held / 4, moreTile: second.held / 4, strip: tiles.heldStrip / 4,
    levels: 0, moreLevels: 2 * perState * states * (tiles.runs.length - 1), ones: states - 1, perState, step,
  };
  const sides = new Uint32Array(trellisHeader.length + rows);
  sides.set(trellisHeader.map((word) => header[word]));
  const floats = new Float32Array(sides.buffer);
  floats[trellisHeader.indexOf('step')] = step;
  floats.set(codes.scales, trellisHeader.length);
  const weights = new Uint8Array(tiles.strips * tiles.heldStrip);
  holdTiles(codes, tiles, weights);
  return { layout: 'trellis', rows, cols, groups, buffers: [gpu.buffer(name, weights), gpu.buffer(`scales of ${name}`, sides), levelsOf(gpu, format, widths, step)] };
}
