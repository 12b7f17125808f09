/** Products of a network on kernels: weights laid down once, and the calls for inputs of a shape. */
import { callOf, convolutionSite, productShape } from './geometry.ts';
import { packedBytes, packedFloats, packedPairs, packedSides, packedTaps, packedWords, runsOf, type QdqBuild, type StepKind } from '../kernels/qdq.ts';
import { sizeOf } from '../interpreter/value.ts';
import type { Windows } from '../interpreter/windows.ts';
import type { Arena, Stored } from './memory.ts';
import { lies } from './memory.ts';
import type { QdqNetwork, QdqOp } from './network.ts';
import type { Bench } from './bench.ts';

type Products = Extract<QdqOp, { op: 'products' | 'floatProducts' }>;

/** Where weights and sides lie; those of groups follow each other. */
export interface LaidProducts {
  readonly kind: StepKind;
  readonly groups: number;
  readonly depthwise: boolean;
  readonly w: number;
  readonly sides: number;
  readonly groupBytes: number;
}

export function layProducts({ ops }: QdqNetwork, arena: Arena, build: QdqBuild): ReadonlyMap<object, LaidProducts> {
  const laid = new Map<object, LaidProducts>();
  for (const one of ops) if (one.op === 'products' || one.op === 'floatProducts') laid.set(one, lay(one, arena, build));
  return laid;
}

function lay(one: Products, arena: Arena, build: QdqBuild): LaidProducts {
  const { node, weight: { shape } } = one;
  const call = callOf(node, []);
  const groups = node.op === 'Conv' ? Math.max(1, call.int('group', 1)) : 1;
  const [outputs, own] = shape;
  const depthwise = groups > 1 && groups === outputs && own === 1;
  const kind: StepKind = one.op === 'floatProducts' ? 'floats' : build === 'relaxed SIMD' ? 'bytes' : 'words';
  const spatial = [...(shape.length < 4 ? [1] : []), ...shape.slice(2), ...(shape.length === 2 ? [1] : [])];
  const dilations = call.ints('dilations') ?? [];
  const { runs } = runsOf(kind, own, groups, { kernel: spatial, dilations: [1, dilations.at(-1) ?? 1] });
  // A group that does not divide the outputs is refused where the shape of the input is known.
  const parts = outputs % groups === 0 ? groups : 1;
  if (one.op === 'floatProducts') {
    const w = depthwise ? packedTaps(one.weight) : packedFloats(one.weight, runs, parts);
    return { kind, groups, depthwise, w: arena.keep(w), sides: arena.keep(packedSides(outputs, depthwise ? 1 : parts, one.bias)), groupBytes: w.length / groups };
  }
  // Inputs are codes: what their zero point adds to every sum is taken off the bias, modulo 2^32 as the sums.
  const inEach = one.weight.values.length / outputs;
  const bias = one.bias.map((code, o) => code - one.input.grid.zero * one.weight.values.subarray(o * inEach, (o + 1) * inEach).reduce((sum, value) => sum + value, 0));
  const w = depthwise ? packedPairs(one.weight) : kind === 'bytes' ? packedBytes(one.weight, runs, parts) : packedWords(one.weight, runs, parts);
  return { kind, groups, depthwise, w: arena.keep(w), sides: arena.keep(packedSides(outputs, depthwise ? 1 : parts, bias, one.factors, one.addends)), groupBytes: w.length / groups };
}

/** Bytes of an element in the input of a convolution. */
const widths = { words: 2, bytes: 1, floats: 4 } as const;

export function prepareProducts(one: Products, bench: Bench): void {
  const laid = bench.products.get(one)!;
  const x = bench.stored(typeof one.input === 'string' ? one.input : one.input.name);
  if (one.node.op !== 'Conv') prepareRows(one, laid, x, bench);
  else if (laid.depthwise) prepareDepthwise(one, laid, x, bench);
  else prepareConvolution(one, laid, x, bench);
}

/** What the input has around it, and what comes out. */
const around = (one: Products): number => (one.op === 'products' ? one.input.grid.zero : 0);
const toCodes = (one: Products): one is Extract<Products, { op: 'products' }> & { into: object } => one.op === 'products' && one.into !== undefined;
const made = (one: Products, bench: Bench, shape: readonly number[]): { at: number; width: number } =>
  ({ at: bench.make(one.output, toCodes(one) ? 'codes' : 'floats', shape).block.at, width: toCodes(one) ? 1 : 4 });

/** Images one after the other, as the kernel wants them: `placed` for one where padding or wider codes are needed. */
function laidOut(one: Products, laid: LaidProducts, bench: Bench, channels: number, [height, width]: readonly number[], windows: Windows, wide: boolean): { tall: number; across: number; placed: number | undefined; place: (from: number) => void } {
  const size = (axis: number, dim: number): number => Math.max(dim + windows.begin[axis], (windows.out[axis] - 1) * windows.strides[axis] + (windows.kernel[axis] - 1) * windows.dilations[axis] + 1);
  const [tall, across] = [size(0, height), size(1, width)];
  const words = wide ? 1 : 0;
  const cells = channels * (laid.kind === 'floats' ? 4 : 1);
  if (!wide && tall === height && across === width) return { tall, across, placed: undefined, place: () => undefined };
  const placed = bench.scratch((tall * across * cells) << words);
  const { kernels } = bench;
  const [top, left] = windows.begin;
  return { tall, across, placed, place: (from) => bench.onRun(() => kernels.surround(from, height, width, cells, top, left, tall, across, around(one), words, placed)) };
}

function prepareConvolution(one: Products, laid: LaidProducts, x: Stored, bench: Bench): void {
  const { weight: { shape: [outputs, own] } } = one;
  const { groups, windows, shape } = convolutionSite(one.node, x.shape, one.weight.shape);
  const out = made(one, bench, shape);
  const channels = own * groups;
  const points = groups === 1 && sizeOf(windows.kernel) === 1 && sizeOf(windows.strides) === 1 && [...windows.begin, ...windows.end].every((pad) => pad === 0);
  // A window of one point knows no rows and no images.
  const positions = sizeOf(windows.out) * (points ? x.shape[0] : 1);
  const images = points ? 1 : x.shape[0];
  const from: readonly number[] = points ? [1, positions] : x.shape.length === 3 ? [1, x.shape[2]] : x.shape.slice(2);
  const laidWindows: Windows = points ? { ...windows, out: [1, positions] } : windows;
  const element = widths[laid.kind];
  const { across, placed, place } = laidOut(one, laid, bench, channels, from, laidWindows, laid.kind === 'words');
  const { runs, steps } = runsOf(laid.kind, own, groups, windows);
  const [rows] = windows.kernel;
  const apart = windows.dilations[1] * channels * element;
  const below = windows.dilations[0] * across * channels * element;
  const right = windows.strides[1] * channels * element;
  const down = windows.strides[0] * across * channels * element;
  const inEach = outputs / groups;
  const stride = outputs * out.width;
  const imageBytes = sizeOf(from) * channels * (laid.kind === 'floats' ? 4 : 1);
  for (let image = 0; image < images; image++) {
    const given = x.block.at + image * imageBytes;
    place(given);
    for (let group = 0; group < groups; group++) {
      callConvolution(one, bench, [
        (placed ?? given) + group * own * element, laid.w + group * laid.groupBytes, laid.sides + group * Math.ceil(inEach / 8) * 96, inEach,
        positions, laidWindows.out[1], rows, runs, steps, apart, below, right, down, out.at + image * positions * stride + group * inEach * out.width, stride,
      ]);
    }
  }
}

function callConvolution(one: Products, { kernels, onRun }: Bench, args: readonly number[]): void {
  if (one.op === 'floatProducts') onRun(() => kernels.convolveFloats(...args));
  else if (one.into === undefined) onRun(() => kernels.convolveToFloats(...args));
  else {
    const { grid: { zero }, low, high } = one.into;
    onRun(() => kernels.convolve(...args, zero, low, high));
  }
}

function prepareDepthwise(one: Products, laid: LaidProducts, x: Stored, bench: Bench): void {
  const { windows, shape } = convolutionSite(one.node, x.shape, one.weight.shape);
  const [images, channels] = x.shape;
  const out = made(one, bench, shape);
  const from = x.shape.length === 3 ? [1, x.shape[2]] : x.shape.slice(2);
  const { across, placed, place } = laidOut(one, laid, bench, channels, from, windows, false);
  const element = laid.kind === 'floats' ? 4 : 1;
  const offsets: number[] = [];
  for (let i = 0; i < windows.kernel[0]; i++) for (let j = 0; j < windows.kernel[1]; j++) offsets.push((i * windows.dilations[0] * across + j * windows.dilations[1]) * channels * element);
  if (laid.kind !== 'floats' && offsets.length % 2 === 1) offsets.push(offsets[0]);
  const taps = bench.keep(new Uint8Array(Int32Array.from(offsets).buffer));
  const [outY, outX] = windows.out;
  const { kernels } = bench;
  for (let image = 0; image < images; image++) {
    const given = x.block.at + image * sizeOf(from) * channels * element;
    place(given);
    const args = [
      placed ?? given, laid.w, laid.sides, channels, outY, outX, taps, laid.kind === 'floats' ? offsets.length : offsets.length / 2,
      windows.strides[1] * channels * element, windows.strides[0] * across * channels * element, out.at + image * outY * outX * channels * out.width,
    ];
    if (one.op === 'floatProducts') bench.onRun(() => kernels.depthwiseFloats(...args));
    else if (one.into === undefined) bench.onRun(() => kernels.depthwiseToFloats(...args));
    else {
      const { grid: { zero }, low, high } = one.into;
      bench.onRun(() => kernels.depthwise(...args, zero, low, high));
    }
  }
}

/** Rows times a matrix; from three axes on, rows are put together before and apart behind. */
function prepareRows(one: Products, laid: LaidProducts, x: Stored, bench: Bench): void {
  const shape = productShape(one.node, x.shape, one.weight.shape);
  const [outputs, depth] = one.weight.shape;
  const rows = sizeOf(x.shape) / depth;
  const bytes = x.kind === 'codes' ? 1 : 4;
  const { kernels } = bench;
  let from = x.block.at;
  if (x.shape.length > 2) {
    from = bench.scratch(sizeOf(x.shape) * bytes);
    reorder(bench, x.block.at, Int32Array.from({ length: sizeOf(x.shape) }, (_, i) => lies(x.shape)(i)), bytes, from);
  }
  const element = widths[laid.kind];
  const given = from;
  if (laid.kind === 'words') {
    from = bench.scratch(2 * rows * depth);
    const words = from;
    bench.onRun(() => kernels.surround(given, 1, rows, depth, 0, 0, 1, rows, 0, 1, words));
  }
  const out = made(one, bench, shape);
  const apart = shape.length > 2 ? bench.scratch(sizeOf(shape) * out.width) : out.at;
  callConvolution(one, bench, [from, laid.w, laid.sides, outputs, rows, rows, 1, 1, runsOf(laid.kind, depth, 1, { kernel: [1, 1], dilations: [1, 1] }).steps, 0, 0, depth * element, 0, apart, outputs * out.width]);
  if (shape.length === 2) return;
  const map = new Int32Array(sizeOf(shape));
  const place = lies(shape);
  for (let i = 0; i < map.length; i++) map[place(i)] = i;
  reorder(bench, apart, map, out.width, out.at);
}

/** Elements of one byte or four to other places. */
export function reorder({ kernels, keep, onRun }: Bench, from: number, map: Int32Array, bytes: number, to: number): void {
  const places = keep(new Uint8Array(map.buffer));
  onRun(() => kernels.gather(from, places, map.length, bytes === 1 ? 1 : 0, 0, to));
}
