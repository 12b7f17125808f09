/** How windows lie over images, and where elements go: what the plain and the fast executor agree on. */
import { defineErrors } from '../../errors.ts';
import type { Node } from '../../graph/graph.ts';
import { label } from '../../graph/traverse.ts';
import { moving } from '../integer/network.ts';
import { Call } from '../interpreter/call.ts';
import { operators } from '../interpreter/operators.ts';
import { sizeOf, type Value64 } from '../interpreter/value.ts';
import { windowsOf, type Windows } from '../interpreter/windows.ts';

export const errors = defineErrors('qdq', {
  shape: (f: { node: string; why: string }) => `node ${f.node}: ${f.why}`,
  large: (f: { name: string; count: number }) => `value ${f.name} has ${f.count} elements, more than ${mostElements} are not run here`,
  memory: (f: { bytes: number; most: number }) => `the network takes ${f.bytes} bytes, more than ${f.most}`,
  fed: (f: { name: string; why: string }) => `input ${f.name}: ${f.why}`,
});

/** More elements than this in one value are refused: 256 MiB of floats, and twice that where places of elements are worked out. */
export const mostElements = 2 ** 26;

export function checkSize(name: string, shape: readonly number[]): void {
  if (!shape.every((dim) => Number.isInteger(dim) && dim >= 0)) throw errors.shape({ node: name, why: `shape [${shape.join(', ')}] is none` });
  if (sizeOf(shape) > mostElements) throw errors.large({ name, count: sizeOf(shape) });
}

export const callOf = (node: Node, inputs: readonly (Value64 | undefined)[]): Call => new Call(node, inputs, () => { throw errors.shape({ node: label(node), why: 'a body is not run here' }); });

/** Windows over two spatial axes; one axis is laid as two, the first of length 1. */
export function planeWindows(node: Node, shape: readonly number[], kernel: readonly number[]): Windows {
  const spatial = shape.slice(2);
  const wrong = (why: string): Error => errors.shape({ node: label(node), why });
  if (spatial.length < 1 || spatial.length > 2 || kernel.length !== spatial.length) throw wrong(`a window of ${kernel.length} axes over an input [${shape.join(', ')}]`);
  const call = callOf(node, []);
  for (const name of ['strides', 'dilations', 'pads', 'kernel_shape'] as const) {
    const given = call.ints(name);
    const least = name === 'pads' ? 0 : 1;
    if (given !== undefined && (given.length !== spatial.length * (name === 'pads' ? 2 : 1) || !given.every((value) => Number.isInteger(value) && value >= least && value < 2 ** 24))) throw wrong(`${name} [${given.join(', ')}] do not fit an input [${shape.join(', ')}]`);
  }
  const windows = windowsOf(call, spatial, kernel);
  if (!windows.out.every((dim) => dim > 0)) throw wrong(`a window [${kernel.join(', ')}] does not fit into an input [${shape.join(', ')}]`);
  checkSize(label(node), windows.out);
  checkSize(label(node), spatial.map((dim, axis) => dim + windows.begin[axis] + windows.end[axis]));
  if (spatial.length === 2) return windows;
  return { kernel: [1, ...windows.kernel], strides: [1, ...windows.strides], dilations: [1, ...windows.dilations], begin: [0, ...windows.begin], end: [0, ...windows.end], out: [1, ...windows.out] };
}

/** [n, channels, height, width] of an input with one or two spatial axes. */
export const planeShape = (shape: readonly number[]): [number, number, number, number] => (shape.length === 3 ? [shape[0], shape[1], 1, shape[2]] : [shape[0], shape[1], shape[2], shape[3]]);

export interface ConvolutionSite { readonly groups: number; readonly windows: Windows; readonly shape: readonly number[] }

/** Windows whose largest element is taken, each with one inside the input. */
export function largestSite(node: Node, shape: readonly number[]): { windows: Windows; shape: readonly number[] } {
  const windows = planeWindows(node, shape, callOf(node, []).ints('kernel_shape') ?? []);
  if (windows.kernel.some((k, axis) => Math.max(windows.begin[axis], windows.end[axis]) > (k - 1) * windows.dilations[axis])) throw errors.shape({ node: label(node), why: 'its padding is wider than its window' });
  const made = [...shape.slice(0, 2), ...(shape.length === 3 ? windows.out.slice(1) : windows.out)];
  checkSize(label(node), made);
  return { windows, shape: made };
}

/** What a Conv does to an input, checked against its weight [outputs, channels / groups, …kernel]. */
export function convolutionSite(node: Node, shape: readonly number[], weight: readonly number[]): ConvolutionSite {
  const groups = callOf(node, []).int('group', 1);
  if (shape.length !== weight.length || !(groups >= 1) || shape[1] !== weight[1] * groups || weight[0] % groups !== 0) {
    throw errors.shape({ node: label(node), why: `a weight [${weight.join(', ')}] in ${groups} groups over an input [${shape.join(', ')}]` });
  }
  const windows = planeWindows(node, shape, weight.slice(2));
  const made = [shape[0], weight[0], ...(shape.length === 3 ? windows.out.slice(1) : windows.out)];
  checkSize(label(node), made);
  return { groups, windows, shape: made };
}

/** The result of rows times a matrix [outputs, inputs]. */
export function productShape(node: Node, shape: readonly number[], weight: readonly number[]): number[] {
  if (shape.length < 2 || shape.at(-1) !== weight[1]) throw errors.shape({ node: label(node), why: `a matrix of ${weight[1]} inputs over an input [${shape.join(', ')}]` });
  const made = [...shape.slice(0, -1), weight[0]];
  checkSize(label(node), made);
  return made;
}

export interface AverageSite { readonly windows: Windows; readonly padding: boolean; readonly shape: readonly number[] }

/** Windows that a mean is taken over; undefined for those that only the interpreter knows. */
export function averageSite(node: Node, shape: readonly number[], axes: readonly number[] | undefined): AverageSite | undefined {
  if (shape.length < 3 || shape.length > 4 || !shape.every((dim) => dim > 0)) return undefined;
  const call = callOf(node, []);
  if (node.op === 'AveragePool') {
    const kernel = call.ints('kernel_shape');
    if (kernel === undefined || call.flag('ceil_mode') || call.ints('dilations')?.some((dilation) => dilation !== 1)) return undefined;
    const windows = planeWindows(node, shape, kernel);
    // A window that lies in the padding alone has no mean.
    if (windows.kernel.some((k, axis) => windows.begin[axis] >= k || windows.end[axis] >= k)) return undefined;
    return { windows, padding: call.flag('count_include_pad'), shape: [...shape.slice(0, 2), ...(shape.length === 3 ? windows.out.slice(1) : windows.out)] };
  }
  const spatial = planeShape(shape).slice(2);
  const zeros = [0, 0], ones = [1, 1];
  const windows: Windows = { kernel: spatial, strides: ones, dilations: ones, begin: zeros, end: zeros, out: ones };
  if (node.op === 'GlobalAveragePool') return { windows, padding: false, shape: [...shape.slice(0, 2), ...shape.slice(2).map(() => 1)] };
  const named = axes?.map((axis) => (axis < 0 ? axis + shape.length : axis)).sort((a, b) => a - b).join(' ');
  if (named !== shape.slice(2).map((_, i) => i + 2).join(' ')) return undefined;
  return { windows, padding: false, shape: call.flag('keepdims', true) ? [...shape.slice(0, 2), ...shape.slice(2).map(() => 1)] : shape.slice(0, 2) };
}

/** What a sum of so many codes is multiplied by: float32(input scale / (count · output scale)), from a count of 1 on. */
export const averageFactors = (most: number, scale: number, into: number): Float32Array => Float32Array.from({ length: most }, (_, i) => scale / ((i + 1) * into));

/** Whether an operator only puts elements in other places; padding with zeros counts as such. */
export function movesElements(node: Node, padsZeros: boolean): boolean {
  if (!moving.has(node.op) || node.op === 'MaxPool' || node.op === 'Concat') return false;
  if (node.op === 'Resize') return callOf(node, []).text('mode', 'nearest') === 'nearest' && callOf(node, []).text('coordinate_transformation_mode', 'half_pixel') !== 'tf_crop_and_resize';
  return node.op !== 'Pad' || padsZeros;
}

/** Where each element of the outputs of a move comes from, by its index in row-major order; −1 in what padding adds. */
export async function placesOf(node: Node, shapes: readonly (readonly number[])[], others: readonly (Value64 | undefined)[]): Promise<{ shape: readonly number[]; from: Int32Array }[]> {
  let first = 1;
  const inputs = shapes.map((shape): Value64 => {
    checkSize(label(node), shape);
    const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) => first + i);
    first += data.length;
    return { type: 'f32', shape, data };
  });
  const made = await operators[node.op](callOf(node, [...inputs, ...others]));
  return ('data' in made ? [made] : made).map(({ shape, data }) => ({ shape, from: Int32Array.from(data, (place) => place - 1) }));
}
