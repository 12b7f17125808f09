/** Runs a network in QDQ form with plain loops, in row-major order: the judge of the kernels, code by code and bit by bit. */
import type { Node } from '../../graph/graph.ts';
import { rne } from '../../numeric/rounding.ts';
import { plainIntegers, type IntegerTensor } from '../integer/products.ts';
import { operators } from '../interpreter/operators.ts';
import { broadcastShape, expanded, sizeOf, type Value64 } from '../interpreter/value.ts';
import type { Windows } from '../interpreter/windows.ts';
import type { Feeds } from '../session.ts';
import { averageFactors, averageSite, callOf, convolutionSite, errors, largestSite, placesOf, planeShape, productShape } from './geometry.ts';
import { otherOf } from './functions.ts';
import type { Codes, Into, QdqNetwork, QdqOp } from './network.ts';
import { codeOf, realOf, tableOf } from './grid.ts';

/** Codes as bytes, or a value of any other type, float32 where it is one of floats. */
export type Plain = { readonly shape: readonly number[]; readonly codes: Uint8Array } | Value64;

export async function runPlainly(network: QdqNetwork, feeds: Feeds): Promise<Map<string, Plain>> {
  const known = new Map<string, Plain>(network.constants);
  for (const { name } of network.source.inputs) if (feeds[name] !== undefined) known.set(name, fedValue(name, feeds[name]));
  const codes = (name: string): { shape: readonly number[]; codes: Uint8Array } => known.get(name) as { shape: readonly number[]; codes: Uint8Array };
  const value = (name: string): Value64 => known.get(name) as Value64;
  const real = (from: Codes): Value64 => realValue(codes(from.name), from);
  for (const one of network.ops) {
    switch (one.op) {
      case 'quantize': known.set(one.output, quantized(value(one.input), { grid: one.grid, low: 0, high: 255 })); break;
      case 'dequantize': known.set(one.output, real(one.input)); break;
      case 'products': known.set(one.output, products(one, codes(one.input.name))); break;
      case 'floatProducts': known.set(one.output, floatProducts(one, value(one.input))); break;
      case 'join': {
        const [a, b] = one.inputs.map(real);
        const shape = broadcastShape([a.shape, b.shape]);
        const [x, y] = [expanded(a, shape).data, expanded(b, shape).data];
        known.set(one.output, quantized({ type: 'f32', shape, data: x.map((left, i) => Math.fround(one.node.op === 'Add' ? left + y[i] : left * y[i])) }, one.into));
        break;
      }
      case 'largest': known.set(one.output, largest(one.node, codes(one.input))); break;
      case 'average': known.set(one.output, await averaged(one, codes(one.input.name), network)); break;
      case 'concat': {
        const parts = one.inputs.map(({ name, grid }): Value64 => {
          const table = tableOf(grid, one.into, (x) => x);
          return { type: 'f32', shape: codes(name).shape, data: Float64Array.from(codes(name).codes, (code) => table[code]) };
        });
        const { shape, data } = await operators.Concat(callOf(one.node, parts)) as Value64;
        known.set(one.output, { shape, codes: Uint8Array.from(data) });
        break;
      }
      case 'move': {
        const { shape, codes: from } = codes(one.inputs[0]);
        const made = await placesOf(one.node, [shape], one.inputs.slice(1).map((name) => (name === '' ? undefined : value(name))));
        made.slice(0, one.outputs.length).forEach((place, i) => known.set(one.outputs[i], { shape: place.shape, codes: Uint8Array.from(place.from, (at) => (at < 0 ? one.fill : from[at])) }));
        break;
      }
      case 'table': known.set(one.output, { shape: codes(one.input).shape, codes: codes(one.input).codes.map((code) => one.table[code]) }); break;
      case 'other': {
        const made = await otherOf(one.node, one.node.inputs.map((name) => (name === '' ? undefined : value(name))));
        made.forEach((result, i) => known.set(one.node.outputs[i], result));
      }
    }
  }
  return known;
}

/** What was fed, as the interpreter holds it. */
export function fedValue(name: string, { type, shape, data }: Feeds[string]): Value64 {
  if (type === 'f16' || type === 'bf16') throw errors.fed({ name, why: `${type} is not fed here` });
  if (data.length !== sizeOf(shape)) throw errors.fed({ name, why: `${data.length} values for a shape [${shape.join(', ')}]` });
  return { type, shape, data: Float64Array.from(data as ArrayLike<number>, Number) };
}

export const realValue = ({ shape, codes }: { readonly shape: readonly number[]; readonly codes: Uint8Array }, { grid }: Codes): Value64 =>
  ({ type: 'f32', shape, data: Float64Array.from(codes, (code) => realOf(code, grid)) });

export const quantized = ({ shape, data }: Value64, { grid, low, high }: Into): { shape: readonly number[]; codes: Uint8Array } =>
  ({ shape, codes: Uint8Array.from(data, (x) => Math.min(high, Math.max(low, codeOf(x, grid)))) });

function products({ node, input, into, weight, bias, factors, addends }: Extract<QdqOp, { op: 'products' }>, { shape, codes }: { shape: readonly number[]; codes: Uint8Array }): Plain {
  const data = Int32Array.from(codes, (code) => code - input.grid.zero);
  let sums: IntegerTensor;
  let behind = 1;
  if (node.op === 'Conv') {
    const site = convolutionSite(node, shape, weight.shape);
    sums = { ...plainIntegers.convolve({ shape: planeShape(shape), data }, weight.values, weight.shape[0], site.groups, site.windows), shape: site.shape };
    behind = sizeOf(site.windows.out);
  } else sums = { ...plainIntegers.multiply({ shape, data }, weight.values, weight.shape[0], false), shape: productShape(node, shape, weight.shape) };
  const outputOf = (i: number): number => Math.floor(i / behind) % weight.shape[0];
  const scaled = Float64Array.from(sums.data, (sum, i) => Math.fround(Math.fround(sum + bias[outputOf(i)]) * factors[outputOf(i)]));
  if (into === undefined) return { type: 'f32', shape: sums.shape, data: scaled.map((x, i) => Math.fround(x + addends[outputOf(i)])) };
  return { shape: sums.shape, codes: Uint8Array.from(scaled, (x) => Math.min(into.high, Math.max(into.low, rne(x) + into.grid.zero))) };
}

/** Products of floats: channels last within a tap, taps in rows, the bias first. */
function floatProducts({ node, weight, bias }: Extract<QdqOp, { op: 'floatProducts' }>, x: Value64): Value64 {
  const [outputs] = weight.shape;
  if (node.op === 'Conv') {
    const { windows, groups, shape } = convolutionSite(node, x.shape, weight.shape);
    const [n, channels, height, width] = planeShape(x.shape);
    const [own, made] = [channels / groups, outputs / groups];
    const [kY, kX] = windows.kernel;
    const data = new Float64Array(sizeOf(shape));
    eachPosition(n * outputs, windows, (row, y, column, at) => {
      const output = row % outputs;
      const first = Math.floor(row / outputs) * channels + Math.floor(output / made) * own;
      let sum = bias[output];
      for (let i = 0; i < kY; i++) {
        for (let j = 0; j < kX; j++) {
          const [line, cell] = [y * windows.strides[0] - windows.begin[0] + i * windows.dilations[0], column * windows.strides[1] - windows.begin[1] + j * windows.dilations[1]];
          const outside = line < 0 || line >= height || cell < 0 || cell >= width;
          for (let c = 0; c < own; c++) sum = Math.fround(sum + Math.fround((outside ? 0 : x.data[((first + c) * height + line) * width + cell]) * weight.values[((output * own + c) * kY + i) * kX + j]));
        }
      }
      data[at] = sum;
    });
    return { type: 'f32', shape, data };
  }
  const shape = productShape(node, x.shape, weight.shape);
  const depth = weight.shape[1];
  const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) => {
    const [row, o] = [Math.floor(i / outputs), i % outputs];
    let sum = bias[o];
    for (let k = 0; k < depth; k++) sum = Math.fround(sum + Math.fround(x.data[row * depth + k] * weight.values[o * depth + k]));
    return sum;
  });
  return { type: 'f32', shape, data };
}

function eachPosition(rows: number, { out: [outY, outX] }: Windows, visit: (row: number, y: number, x: number, at: number) => void): void {
  for (let row = 0, at = 0; row < rows; row++) for (let y = 0; y < outY; y++) for (let x = 0; x < outX; x++, at++) visit(row, y, x, at);
}

/** Sum or maximum over what a window covers of the plane of a row. */
function overWindow(codes: Uint8Array, [, , height, width]: readonly number[], windows: Windows, row: number, y: number, x: number, visit: (code: number) => void): void {
  for (let i = 0; i < windows.kernel[0]; i++) {
    for (let j = 0; j < windows.kernel[1]; j++) {
      const [line, cell] = [y * windows.strides[0] - windows.begin[0] + i * windows.dilations[0], x * windows.strides[1] - windows.begin[1] + j * windows.dilations[1]];
      if (line >= 0 && line < height && cell >= 0 && cell < width) visit(codes[(row * height + line) * width + cell]);
    }
  }
}

function largest(node: Node, { shape, codes }: { shape: readonly number[]; codes: Uint8Array }): Plain {
  const { windows, shape: made } = largestSite(node, shape);
  const out = new Uint8Array(sizeOf(made));
  eachPosition(shape[0] * shape[1], windows, (row, y, x, at) => overWindow(codes, planeShape(shape), windows, row, y, x, (code) => { out[at] = Math.max(out[at], code); }));
  return { shape: made, codes: out };
}

async function averaged({ node, input, into }: Extract<QdqOp, { op: 'average' }>, x: { shape: readonly number[]; codes: Uint8Array }, { constants }: QdqNetwork): Promise<Plain> {
  const others = node.inputs.slice(1).map((name) => constants.get(name));
  const site = averageSite(node, x.shape, others[0] === undefined ? undefined : [...others[0].data]);
  if (site === undefined) return quantized((await otherOf(node, [realValue(x, input), ...others]))[0], into);
  const { windows, padding, shape } = site;
  const factors = averageFactors(sizeOf(windows.kernel), input.grid.scale, into.grid.scale);
  const out = new Uint8Array(sizeOf(shape));
  eachPosition(x.shape[0] * x.shape[1], windows, (row, y, column, at) => {
    let sum = 0, count = 0;
    overWindow(x.codes, planeShape(x.shape), windows, row, y, column, (code) => { sum += code - input.grid.zero; count++; });
    const code = rne(Math.fround(Math.fround(sum) * factors[(padding ? sizeOf(windows.kernel) : count) - 1])) + into.grid.zero;
    out[at] = Math.min(into.high, Math.max(into.low, code));
  });
  return { shape, codes: out };
}

