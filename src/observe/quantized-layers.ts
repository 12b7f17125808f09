/**
 * The layers of anybody's quantized network: products whose weight is computed from stored codes, in the forms that tools
 * write (DequantizeLinear, blocked or not, table lookups, MatMulNBits, MatMulBnb4, MatMulInteger and ConvInteger behind
 * DynamicQuantizeLinear) and lookups in such tables, with the weight that each one really takes, and float layers in their
 * place. Of a float network they are all its layers, tied heads included.
 */
import type { Engine } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { intOf } from '../graph/attributes.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, storedOrder, type Linear } from '../graph/linear.ts';
import { freshNames, makeNode, removeDeadNodes } from '../graph/rewrite.ts';
import { bodies, sortNodes, viewOf, type GraphView } from '../graph/traverse.ts';
import { encodeNumbers } from '../graph/values.ts';
import { elementCount, floatTensor, memoryTensor, type ElementType, type TensorType } from '../tensor-ref.ts';
import { bnb4, nBits } from './packed-products.ts';
import { floatsOf, openGraph } from './taps.ts';

export interface QuantizedLayer {
  /** Name of its codes, or of its weight where that is stored as floats. */
  readonly id: string;
  /** Operator that multiplies. */
  readonly op: string;
  readonly rows: number;
  readonly cols: number;
  /** Bits of its codes, scales and zero points as the file stores them. */
  readonly bits: number;
  /** The value whose maker is replaced, and the activation that it reads, as it was before it was rounded. */
  readonly output: string;
  readonly input: string;
  /** The input is rounded before it is multiplied. */
  readonly roundsInput: boolean;
  /** What the codes of a rounded input reach: tools let it stand for a rectifier, so it holds for the input before rounding too. */
  readonly reach?: readonly [low: number, high: number];
  /** Of the numbers that it multiplies. */
  readonly type: ElementType;
  /** [rows, cols], as it multiplies. */
  readonly matrix: Float32Array;
  /** The float operator in its place. */
  replaced(input: string, weight: string): Node[];
  /** A matrix [rows, cols] as a weight of that operator. */
  stored(matrix: Float32Array): { readonly shape: readonly number[]; readonly values: Float32Array };
}

/** What stands in the place of a layer: another matrix than its own, and its input before rounding. */
export interface PutBack { readonly matrix?: Float32Array; readonly floatInput: boolean }

/** Every layer of a graph, in order of execution. */
export async function quantizedLayers(graph: Graph, engine: Engine): Promise<QuantizedLayer[]> {
  const view = viewOf(graph);
  const constant = constants(view);
  const drafts = graph.nodes.flatMap((node) => draftOf(node, view, constant) ?? []);
  const values = await evaluated(graph, constant, [...new Set(drafts.flatMap(({ needs }) => needs))], engine);
  const layers: QuantizedLayer[] = [];
  for (const { needs, finish, ...rest } of drafts) {
    const made = await finish(needs.map((name) => values.get(name)!));
    // Codes that several layers share are one weight with as many layers.
    if (made !== undefined) layers.push({ ...rest, bits: storedBits(rest.roundsInput && !rest.op.endsWith('Integer') ? needs.slice(0, 1) : needs, view), ...made });
  }
  return layers;
}

/** Types that codes are stored in, and the fewest of them that are a weight. */
const codeTypes: ReadonlySet<string> = new Set<TensorType>(['u8', 'i8', 'u4', 'i4', 'u2', 'i2']), fewest = 256;

/** Operators that take stored codes and are none of the layers, with how many there are. */
export function unreadOperators(graph: Graph, layers: readonly QuantizedLayer[]): Map<string, number> {
  const view = viewOf(graph);
  const constant = constants(view);
  const read = new Set(layers.flatMap(({ output, id }) => [output, id]));
  const isCodes = (name: string): boolean => {
    const stored = graph.weights.get(name);
    return stored !== undefined && codeTypes.has(stored.type) && elementCount(stored.shape) >= fewest && !read.has(name);
  };
  const counts = new Map<string, number>();
  for (const { op, inputs, outputs } of graph.nodes) {
    if (!constant(outputs[0]) && !read.has(outputs[0]) && inputs.some(isCodes)) counts.set(op, (counts.get(op) ?? 0) + 1);
  }
  return counts;
}

/** The graph with layers in other forms, by id. */
export function withPutBack(graph: Graph, layers: readonly QuantizedLayer[], back: ReadonlyMap<string, PutBack>): Graph {
  const fresh = freshNames(graph);
  const view = viewOf(graph);
  const weights = new Map(graph.weights);
  const replaced = new Map<Node, Node[]>();
  for (const layer of layers) {
    const put = back.get(layer.id);
    if (put === undefined) continue;
    const { shape, values } = layer.stored(put.matrix ?? layer.matrix);
    const name = fresh(`${layer.id}_float`);
    const weight = layer.type === 'f16' ? memoryTensor(name, 'f16', shape, encodeNumbers('f16', values)) : floatTensor(name, shape, values);
    weights.set(weight.name, weight);
    const maker = view.producers.get(layer.output)!;
    const before = put.floatInput || maker.domain !== '' || layer.op.endsWith('Integer');
    const { reach } = layer;
    if (!before || reach === undefined) {
      replaced.set(maker, layer.replaced(before || layer.op === 'Gather' ? layer.input : maker.inputs[0], weight.name));
      continue;
    }
    const [low, high] = reach.map((bound, i) => floatTensor(fresh(`${layer.id}_${i === 0 ? 'low' : 'high'}`), [], Float32Array.of(bound)));
    for (const bound of [low, high]) weights.set(bound.name, bound);
    const [raised, held] = [fresh(`${layer.id}_raised`), fresh(`${layer.id}_held`)];
    replaced.set(maker, [makeNode('Max', [layer.input, low.name], [raised]), makeNode('Min', [raised, high.name], [held]), ...layer.replaced(held, weight.name)]);
  }
  const next: Graph = { ...graph, weights, nodes: graph.nodes.flatMap((node) => replaced.get(node) ?? [node]) };
  return removeDeadNodes({ ...next, nodes: sortNodes(next) });
}

export interface Draft extends Pick<QuantizedLayer, 'id' | 'op' | 'output' | 'input' | 'roundsInput'> {
  /** Constants that the matrix is made of. */
  readonly needs: readonly string[];
  finish(values: readonly Tensor[]): Promise<Pick<QuantizedLayer, 'rows' | 'cols' | 'type' | 'matrix' | 'replaced' | 'stored' | 'reach'> | undefined>;
}

type IsConstant = (value: string) => boolean;

function draftOf(node: Node, view: GraphView, isConstant: IsConstant): Draft | undefined {
  if (node.op === 'MatMulNBits' && node.domain === 'com.microsoft') return nBits(node);
  if (node.op === 'MatMulBnb4' && node.domain === 'com.microsoft') return bnb4(node);
  if (node.domain !== '') return undefined;
  if (node.op === 'MatMulInteger' || node.op === 'ConvInteger') return integerProduct(node, view, isConstant);
  if (node.op === 'Gather') return table(node, view, isConstant);
  if (!['MatMul', 'Gemm', 'Conv', 'ConvTranspose'].includes(node.op) || !isConstant(node.inputs[1]) || isConstant(node.inputs[0])) return undefined;
  const rounded = roundedBy(node.inputs[0], view, isConstant);
  return {
    id: storedName(node.inputs[1], view), op: node.op, output: node.outputs[0], input: rounded?.inputs[0] ?? node.inputs[0], roundsInput: rounded !== undefined,
    needs: [node.inputs[1], ...(rounded?.inputs.slice(1).filter((name) => name !== '') ?? [])],
    async finish([{ shape, ...tensor }, scale, zero]) {
      const site = siteOf(node, shape, Float32Array.from(floatsOf(node.inputs[1], { shape, ...tensor })));
      return site === undefined ? undefined : {
        rows: site.rows, cols: site.cols, type: tensor.type, matrix: await site.weightMatrix(), stored: (matrix) => ({ shape, values: storedOrder(site, matrix) }),
        ...(scale === undefined ? {} : { reach: reachOf(scale, zero) }),
        replaced: (from, weight) => [{ ...node, inputs: [from, weight, ...node.inputs.slice(2)] }],
      };
    },
  };
}

/** Rows of a table that is computed from codes. */
function table(node: Node, view: GraphView, isConstant: IsConstant): Draft | undefined {
  const [source, indices] = node.inputs;
  if (!isConstant(source) || isConstant(indices) || intOf(node, 'axis', 0) !== 0) return undefined;
  return {
    id: storedName(source, view), op: node.op, output: node.outputs[0], input: indices, roundsInput: false, needs: [source],
    async finish([{ shape, ...tensor }]) {
      if (shape.length < 2 || (tensor.type !== 'f32' && tensor.type !== 'f16')) return undefined;
      const [rows, cols] = [shape[0], elementCount(shape.slice(1))];
      return {
        rows, cols, type: tensor.type, matrix: Float32Array.from(floatsOf(source, { shape, ...tensor })), stored: (values) => ({ shape, values }),
        replaced: (from, weight) => [{ ...node, inputs: [weight, from] }],
      };
    },
  };
}

/** The site that a node would be with this weight. */
function siteOf(node: Node, shape: readonly number[], values: Float32Array): Linear | undefined {
  const weight = floatTensor('weight', shape, values);
  const [site] = linearSites({
    name: '', nodes: [{ ...node, inputs: [node.inputs[0], 'weight', ...node.inputs.slice(2)] }], weights: new Map([['weight', weight]]), values: new Map(),
    inputs: [], outputs: [], opset: new Map(), metadata: new Map(),
  });
  return site;
}

/** An integer product, the cast behind it and the multiplication by both scales. */
function integerProduct(node: Node, view: GraphView, isConstant: IsConstant): Draft | undefined {
  const cast = view.onlyConsumer(node.outputs[0]);
  const scaled = cast?.op === 'Cast' ? view.onlyConsumer(cast.outputs[0]) : undefined;
  const scales = scaled?.op === 'Mul' ? view.producers.get(scaled.inputs.find((name) => name !== cast!.outputs[0]) ?? '') : undefined;
  const step = scales?.op === 'Mul' ? scales.inputs.find(isConstant) : undefined;
  const [codes, , weight, inputZero] = [view.producers.get(node.inputs[0]), '', node.inputs[1], node.inputs[2] ?? ''];
  if (scaled === undefined || step === undefined || codes?.op !== 'DynamicQuantizeLinear' || !isConstant(weight) || inputZero === '') return undefined;
  const zero = node.inputs[3] ?? '';
  const isConv = node.op === 'ConvInteger';
  return {
    id: storedName(weight, view), op: node.op, output: scaled.outputs[0], input: codes.inputs[0], roundsInput: true, needs: [weight, step, ...(zero === '' ? [] : [zero])],
    async finish([code, scale, offset]) {
      const { shape } = code;
      const inner = isConv ? shape.slice(1).reduce((all, dim) => all * dim, 1) : 1;
      const channels = isConv ? shape[0] : shape[1];
      const channelOf = (i: number): number => (isConv ? Math.floor(i / inner) : i % channels);
      const pick = ({ data }: Tensor, channel: number): number => Number(data.length === 1 ? data[0] : data[channel]);
      const values = Float32Array.from({ length: code.data.length }, (_, i) => (Number(code.data[i]) - (offset === undefined ? 0 : pick(offset, channelOf(i)))) * pick(scale, channelOf(i)));
      const form = makeNode(isConv ? 'Conv' : 'MatMul', [codes.inputs[0], 'weight'], [scaled.outputs[0]], { name: node.name, attributes: isConv ? node.attributes : {} });
      const site = siteOf(form, shape, values);
      return site === undefined ? undefined : {
        rows: site.rows, cols: site.cols, type: 'f32', matrix: await site.weightMatrix(), stored: (matrix) => ({ shape, values: storedOrder(site, matrix) }),
        replaced: (from, name) => [{ ...form, inputs: [from, name] }],
      };
    },
  };
}

/** The node that rounds a value which DequantizeLinear restores, if there is one and its scale is known. */
function roundedBy(value: string, view: GraphView, isConstant: IsConstant): Node | undefined {
  const restore = view.producers.get(value);
  const round = restore?.op === 'DequantizeLinear' ? view.producers.get(restore.inputs[0]) : undefined;
  return round?.op === 'QuantizeLinear' && round.inputs.slice(1).every((name) => name === '' || isConstant(name)) ? round : undefined;
}

const codeRanges: Partial<Record<ElementType, readonly [number, number]>> = { u8: [0, 255], i8: [-128, 127], u16: [0, 65535], i16: [-32768, 32767] };

/** Values of the first and the last code. */
function reachOf(scale: Tensor, zero: Tensor | undefined): [number, number] {
  const [first, last] = codeRanges[zero?.type ?? 'u8'] ?? [-Infinity, Infinity];
  const [step, offset] = [floatsOf('scale', scale)[0], Number(zero?.data[0] ?? 0)];
  return [(first - offset) * step, (last - offset) * step];
}

/** Values that depend on stored tensors alone. */
function constants({ graph, producers }: GraphView): IsConstant {
  const known = new Map<string, boolean>();
  const isConstant = (value: string): boolean => {
    if (graph.weights.has(value)) return true;
    const found = known.get(value);
    if (found !== undefined) return found;
    const node = producers.get(value);
    const result = node !== undefined && bodies(node).length === 0 && !node.op.startsWith('Random') && node.inputs.every((name) => name === '' || isConstant(name));
    known.set(value, result);
    return result;
  };
  return isConstant;
}

/** Nodes that constants are made by, in order. */
function makersOf(names: readonly string[], { graph, producers }: GraphView): Node[] {
  const found = new Set<Node>();
  const visit = (name: string): void => {
    const node = producers.get(name);
    if (node === undefined || found.has(node)) return;
    found.add(node);
    node.inputs.forEach(visit);
  };
  names.forEach(visit);
  return graph.nodes.filter((node) => found.has(node));
}

/** Constants by running what makes them. */
async function evaluated(graph: Graph, isConstant: IsConstant, names: readonly string[], engine: Engine): Promise<Map<string, Tensor>> {
  if (names.length === 0) return new Map();
  const view = viewOf(graph);
  const nodes = makersOf(names.filter(isConstant), view);
  const used = new Set([...names, ...nodes.flatMap(({ inputs }) => inputs)]);
  const fresh = freshNames(graph);
  // A stored tensor is no output of a session: it passes through one node.
  const through = names.map((name) => (graph.weights.has(name) ? makeNode('Identity', [name], [fresh(`${name}_stored`)]) : undefined));
  const outputs = names.map((name, i) => through[i]?.outputs[0] ?? name);
  const weights = new Map([...graph.weights].filter(([name]) => used.has(name)));
  const session = await openGraph({
    ...graph, inputs: [], weights, nodes: [...nodes, ...through.filter((node) => node !== undefined)], values: new Map(), outputs: outputs.map((name) => ({ name, type: undefined, shape: undefined })),
  }, engine, { optimize: 'none' });
  try {
    const results = await session.run({}, outputs);
    return new Map(names.map((name, i) => [name, results[outputs[i]]]));
  } finally {
    await session.dispose();
  }
}

/** The stored tensor with most values that a constant is made of: its codes. */
function storedName(value: string, view: GraphView): string {
  const stored = [value, ...makersOf([value], view).flatMap(({ inputs }) => inputs)].flatMap((name) => view.graph.weights.get(name) ?? []);
  return stored.reduce((largest, tensor) => (elementCount(tensor.shape) > elementCount(largest.shape) ? tensor : largest)).name;
}

function storedBits(needs: readonly string[], view: GraphView): number {
  const names = new Set([...needs, ...makersOf(needs, view).flatMap(({ inputs }) => inputs)]);
  return [...names].reduce((sum, name) => sum + 8 * (view.graph.weights.get(name)?.byteLength ?? 0), 0);
}
