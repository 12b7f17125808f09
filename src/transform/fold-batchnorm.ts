/**
 * BatchNormalization folded into the layer before it: y = γ (Wx + b − μ)/√(σ² + ε) + β is the same layer with
 * W' = sW, b' = s(b − μ) + β, s = γ/√(σ² + ε) (Jacob et al. 2018, section 3.2). Constant per-channel Mul, Div, Add and
 * Sub that follow are folded the same way. New weights are computed while they are read; nothing is held.
 */
import { intOf } from '../graph/attributes.ts';
import type { TensorRef } from '../tensor-ref.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { freshNames, removeDeadNodes, type Fresh } from '../graph/rewrite.ts';
import { viewOf, type GraphView } from '../graph/traverse.ts';
import { encodeNumbers, isFloatType, lazyTensor, mappedTensor, readFloats } from '../graph/values.ts';

/** y ↦ scale·y + shift per output channel, in float64. */
interface Affine { readonly scale: Float64Array; readonly shift: Float64Array }

/** A layer that can take an affine map of its output channels into its weights. */
interface Layer {
  readonly node: Node;
  readonly weight: TensorRef;
  readonly channels: number;
  /** Output channel of the weight's value at a flat index. */
  channelOf(index: number): number;
}

const float = (node: Node, name: string, fallback: number): number => {
  const attribute = node.attributes[name];
  return attribute?.kind === 'float' ? attribute.value : fallback;
};

export interface FoldedGraph {
  readonly graph: Graph;
  /** Nodes that were folded away, by operator. */
  readonly folded: Readonly<Record<string, number>>;
}

/** Folds every BatchNormalization and per-channel affine map that follows a Conv, ConvTranspose or Gemm with constant weights. */
export function foldBatchNorm(graph: Graph): Graph {
  return foldBatchNormCounted(graph).graph;
}

/** As `foldBatchNorm`, and says what was folded. */
export function foldBatchNormCounted(graph: Graph): FoldedGraph {
  const view = viewOf(graph);
  const fresh = freshNames(graph);
  // A weight keeps its name, by which it was planned, unless others still use the old one.
  const nameOf: Fresh = (name) => (view.onlyConsumer(name) === undefined ? fresh(`${name}_folded`) : name);
  const folded: Record<string, number> = {};
  const weights = new Map(graph.weights);
  /** Layers by the value they now make, as folding goes on. */
  const changed = new Map<Node, Node>();
  const gone = new Set<Node>();
  for (const first of graph.nodes) {
    let layer = layerOf(first, view);
    if (layer === undefined) continue;
    for (let last = first; ;) {
      const next = view.onlyConsumer(last.outputs[0]);
      const affine = next === undefined ? undefined : affineOf(next, last.outputs[0], layer, view);
      if (next === undefined || affine === undefined) break;
      layer = absorb(layer, affine, next.outputs[0], weights, nameOf);
      changed.set(first, layer.node);
      gone.add(next);
      folded[next.op] = (folded[next.op] ?? 0) + 1;
      last = next;
    }
  }
  if (gone.size === 0) return { graph, folded };
  const nodes = graph.nodes.filter((node) => !gone.has(node)).map((node) => changed.get(node) ?? node);
  return { graph: removeDeadNodes({ ...graph, nodes, weights }), folded };
}

function layerOf(node: Node, { graph }: GraphView): Layer | undefined {
  if (node.domain !== '') return undefined;
  const weight = graph.weights.get(node.inputs[1] ?? '');
  if (weight === undefined || !isFloatType(weight.type)) return undefined;
  const bias = node.inputs[2] ?? '';
  if (bias !== '' && !isFloatType(graph.weights.get(bias)?.type)) return undefined;
  const { shape } = weight;
  switch (node.op) {
    case 'Conv': {
      const perChannel = shape.slice(1).reduce((product, dim) => product * dim, 1);
      return { node, weight, channels: shape[0], channelOf: (index) => Math.floor(index / perChannel) };
    }
    case 'ConvTranspose': {
      const groups = intOf(node, 'group', 1);
      const [inputs, perGroup, ...kernel] = shape;
      const taps = kernel.reduce((product, dim) => product * dim, 1);
      return {
        node, weight, channels: perGroup * groups,
        channelOf: (index) => {
          const group = Math.floor(Math.floor(index / (perGroup * taps)) / (inputs / groups));
          return group * perGroup + (Math.floor(index / taps) % perGroup);
        },
      };
    }
    case 'Gemm': {
      const [height, width] = shape;
      const outputs = intOf(node, 'transB', 0) !== 0 ? height : width;
      if (bias !== '' && (float(node, 'beta', 1) !== 1 || !alongChannels(graph.weights.get(bias)!.shape, outputs, 2))) return undefined;
      if (intOf(node, 'transB', 0) !== 0) return { node, weight, channels: height, channelOf: (index) => Math.floor(index / width) };
      return { node, weight, channels: width, channelOf: (index) => index % width };
    }
    default: return undefined;
  }
}

/** The affine map that a node applies to the channels (axis 1) of `value`, as something to read later; undefined when it is not one. */
function affineOf(node: Node, value: string, { channels, weight }: Layer, view: GraphView): (() => Promise<Affine>) | undefined {
  if (node.domain !== '') return undefined;
  const { weights } = view.graph;
  if (node.op === 'BatchNormalization') {
    if (node.inputs[0] !== value || node.outputs.slice(1).some((output) => output !== '') || intOf(node, 'training_mode', 0) !== 0) return undefined;
    // Before operator set 9, `spatial` = 0 gives each position its own statistics.
    if (intOf(node, 'spatial', 1) !== 1) return undefined;
    const parts = node.inputs.slice(1, 5).map((name) => weights.get(name));
    if (parts.length !== 4 || !parts.every((part) => part !== undefined && part.shape.length === 1 && part.shape[0] === channels)) return undefined;
    const epsilon = float(node, 'epsilon', Math.fround(1e-5));
    return async () => {
      const [gamma, beta, mean, variance] = await Promise.all(parts.map((part) => readFloats(part!)));
      const scale = new Float64Array(channels);
      const shift = new Float64Array(channels);
      for (let i = 0; i < channels; i++) {
        scale[i] = gamma[i] / Math.sqrt(variance[i] + epsilon);
        shift[i] = beta[i] - mean[i] * scale[i];
      }
      return { scale, shift };
    };
  }
  if (node.op !== 'Mul' && node.op !== 'Add' && node.op !== 'Sub' && node.op !== 'Div') return undefined;
  // Operator sets before 7 aligned shapes by an attribute.
  if (node.attributes.axis !== undefined || node.attributes.broadcast !== undefined) return undefined;
  if (node.inputs[0] === node.inputs[1]) return undefined;
  const position = node.inputs[0] === value ? 1 : 0;
  if (position === 0 && (node.op === 'Sub' || node.op === 'Div')) return undefined;
  const constant = weights.get(node.inputs[position]);
  if (constant === undefined || !isFloatType(constant.type) || !alongChannels(constant.shape, channels, weight.shape.length)) return undefined;
  return async () => {
    const values = await readFloats(constant);
    const at = (i: number): number => (values.length === 1 ? values[0] : values[i]);
    const scale = new Float64Array(channels).fill(1);
    const shift = new Float64Array(channels);
    for (let i = 0; i < channels; i++) {
      if (node.op === 'Mul') scale[i] = at(i);
      else if (node.op === 'Div') scale[i] = 1 / at(i);
      else if (node.op === 'Add') shift[i] = at(i);
      else shift[i] = -at(i);
    }
    return { scale, shift };
  };
}

/** True when a constant of this shape broadcasts to one value per channel (axis 1 of `rank`) without widening the result. */
function alongChannels(shape: readonly number[], channels: number, rank: number): boolean {
  if (shape.length > rank) return false;
  const aligned = [...Array<number>(rank - shape.length).fill(1), ...shape];
  return aligned.every((dim, axis) => dim === 1 || (axis === 1 && dim === channels));
}

/** The layer with the map in its weights. */
function absorb(layer: Layer, affine: () => Promise<Affine>, output: string, weights: Map<string, TensorRef>, nameOf: Fresh): Layer {
  const { node, channels, channelOf } = layer;
  let pending: Promise<Affine> | undefined;
  const map = (): Promise<Affine> => (pending ??= affine());
  const weight = mappedTensor(layer.weight, nameOf(node.inputs[1]), async (values, first) => {
    const { scale } = await map();
    for (let i = 0; i < values.length; i++) values[i] *= scale[channelOf(first + i)];
  });
  const old = weights.get(node.inputs[2] ?? '');
  const type = isFloatType(weight.type) ? weight.type : 'f32';
  const bias = lazyTensor(old === undefined ? nameOf(`${node.inputs[1]}_bias`) : nameOf(old.name), type, [channels], async () => {
    const { scale, shift } = await map();
    const before = old === undefined ? new Float32Array(1) : await readFloats(old);
    // A Gemm's bias may be one value for all channels.
    const values = Float64Array.from(shift, (value, i) => value + scale[i] * before[before.length === 1 ? 0 : i]);
    return encodeNumbers(type, values);
  });
  weights.set(weight.name, weight);
  weights.set(bias.name, bias);
  const next: Node = { ...node, inputs: [node.inputs[0], weight.name, bias.name], outputs: [output] };
  return { node: next, weight, channels, channelOf };
}
