/** Trellis codes on a WebGPU device, which multiplies them as they are (engine/webgpu/matrix-trellis.ts). */
import type { Gpu } from '../engine/webgpu/gpu.ts';
import { groupSize } from '../engine/webgpu/inputs.ts';
import { levelBytes } from '../engine/webgpu/matrix-table.ts';
import { trellisHeader, type TrellisHeader } from '../engine/webgpu/matrix-trellis.ts';
import { readForm } from '../engine/kernels/trellis-tiles.ts';
import type { TrellisCodes } from '../formats/coded.ts';
import { trellisOf, type TrellisFormat } from '../formats/trellis/trellis.ts';
import { Arena } from './arena.ts';
import { packTrellis, trellisStep } from './trellis-matrix.ts';
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
  const arena = new Arena();
  const packed = packTrellis(codes, rows, cols, arena);
  const { across, few, bits, moreBits, ones, perState } = readForm(arena.memory.buffer, packed.form);
  const [tile, moreTile] = [bits, moreBits].map((stepBits) => (256 / perState) * stepBits / 32 + 1);
  const widths = [...new Set([bits, moreBits])];
  const step = trellisStep(format, widths);
  const groups = Math.ceil(cols / groupSize);
  const strip = few * tile + (across - few) * moreTile;
  const header: TrellisHeader = { groups, few, bits, moreBits, tile, moreTile, strip, levels: 0, moreLevels: widths.length === 1 ? 0 : 2 * perState * 2 ** format.stateBits, ones, perState, step };
  const sides = new Uint32Array(trellisHeader.length + rows);
  sides.set(trellisHeader.map((word) => header[word]));
  const floats = new Float32Array(sides.buffer);
  floats[trellisHeader.indexOf('step')] = step;
  floats.set(codes.scales, trellisHeader.length);
  const weights = arena.bytesAt(packed.weights, 4 * strip * Math.ceil(rows / 16));
  return { layout: 'trellis', rows, cols, groups, buffers: [gpu.buffer(name, weights), gpu.buffer(`scales of ${name}`, sides), levelsOf(gpu, format, widths, step)] };
}
