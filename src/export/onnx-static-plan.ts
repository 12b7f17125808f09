/**
 * Which operators of a graph compute in integers when activations have fixed ranges: convolutions and matrix products
 * with low-bit weights, and what lies between them where ONNX Runtime has integer kernels. What nothing of that kind
 * reads stays float, so that no value is rounded in vain.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { viewOf, type GraphView } from '../graph/traverse.ts';

/** Move values without changing them: output and input share one scale. */
const moving = new Set(['MaxPool', 'Reshape', 'Transpose', 'Flatten', 'Squeeze', 'Unsqueeze', 'Slice', 'Split', 'DepthToSpace', 'SpaceToDepth', 'Identity', 'Resize', 'Pad', 'Gather']);
/** Compute new values from all their inputs. */
const computing = new Set(['Add', 'Mul', 'Concat', 'AveragePool', 'GlobalAveragePool', 'LeakyRelu', 'Sigmoid', 'Relu', 'Clip']);
/** Clamp values; the ends of an integer range do the same. */
const clamping = new Set(['Relu', 'Clip']);

/** A value that is quantized where it is made. */
export interface Made {
  readonly value: string;
  readonly node: Node;
  /** The clamp between the node and the value, which the range stands for. */
  readonly clamp?: Node;
  /** The value whose scale this one shares. */
  readonly like?: string;
}

export interface StaticPlan {
  /** Convolutions and matrix products, by node. */
  readonly sites: ReadonlyMap<Node, Linear>;
  /** Operators between them. */
  readonly between: ReadonlySet<Node>;
  /** By value. */
  readonly made: ReadonlyMap<string, Made>;
  /** Values that are quantized for the operators that read them, made in float. */
  readonly read: ReadonlySet<string>;
}

export interface PlanOptions {
  /** Sites to count; all that have integer kernels without. */
  isSite?(site: Linear): boolean;
  /** Values that can be quantized; all without. */
  hasRange?(value: string): boolean;
}

/** ConvTranspose has no integer kernel. */
export const hasIntegerKernel = (site: Linear): boolean => site.kind === 'Conv' || site.kind === 'Gemm' || site.kind === 'MatMul';

export function planStatic(graph: Graph, { isSite = () => true, hasRange = () => true }: PlanOptions = {}): StaticPlan {
  const view = viewOf(graph);
  const sites = new Map<Node, Linear>();
  for (const site of linearSites(graph)) {
    if (!hasIntegerKernel(site) || !isSite(site) || !hasRange(site.input)) continue;
    if (site.kind === 'Conv' && !hasRange(clamped(site.node, view).value)) continue;
    sites.set(site.node, site);
  }
  const read = new Set([...sites.values()].map((site) => site.input));

  // Forward: everything that could be made in integers.
  const candidates = new Map<Node, readonly Made[]>();
  const available = new Set<string>(graph.inputs.map(({ name }) => name).filter((name) => read.has(name)));
  const absorbed = new Set<Node>();
  for (const node of graph.nodes) {
    if (absorbed.has(node)) continue;
    const found = madeBy(node, view, sites, available, read).filter(({ value, like }) => like !== undefined || hasRange(value));
    if (found.length > 0) candidates.set(node, found);
    for (const { value, clamp } of found) {
      available.add(value);
      if (clamp !== undefined) absorbed.add(clamp);
    }
    for (const output of node.outputs) if (read.has(output)) available.add(output);
  }

  // Backward: what something reads as integers. A convolution is an integer one only when its output is.
  const between = new Set<Node>();
  const made = new Map<string, Made>();
  const isInteger = (node: Node): boolean => between.has(node) || sites.has(node);
  for (const [node, found] of [...candidates].reverse()) {
    const used = found.some(({ value }) => (view.consumers.get(value) ?? []).some(isInteger));
    if (!used && node.op !== 'Conv') continue;
    if (!sites.has(node)) between.add(node);
    for (const one of found) made.set(one.value, one);
  }
  for (const value of made.keys()) read.delete(value);
  return { sites, between, made, read };
}

/** The value that a node's only output becomes, and the clamp it passes on the way. */
function clamped(node: Node, view: GraphView): Made {
  const [value] = node.outputs;
  const next = view.onlyConsumer(value);
  return next !== undefined && next.domain === '' && clamping.has(next.op) && next.inputs[0] === value ? { value: next.outputs[0], node, clamp: next } : { value, node };
}

function madeBy(node: Node, view: GraphView, sites: ReadonlyMap<Node, Linear>, available: ReadonlySet<string>, read: ReadonlySet<string>): readonly Made[] {
  const site = sites.get(node);
  if (site !== undefined) {
    const out = clamped(node, view);
    // A matrix product gives float results at no cost; only another product needs them as integers.
    return site.kind === 'Conv' || read.has(out.value) ? [out] : [];
  }
  if (node.domain !== '') return [];
  const [first] = node.inputs;
  if (moving.has(node.op)) {
    if (!available.has(first) || !keepsValues(node, view)) return [];
    return node.outputs.slice(0, node.op === 'Split' ? undefined : 1).map((value) => ({ value, node, like: first }));
  }
  if (!computing.has(node.op)) return [];
  const inputs = clamping.has(node.op) ? [first] : node.inputs;
  return inputs.every((input) => available.has(input)) ? [clamped(node, view)] : [];
}

/** Padding with zeros and repeating the nearest pixel invent no values; other modes interpolate or need a fill value. */
function keepsValues(node: Node, view: GraphView): boolean {
  const { mode } = node.attributes;
  const name = mode?.kind === 'string' ? mode.value : undefined;
  if (node.op === 'Resize') return name === undefined || name === 'nearest';
  if (node.op === 'Pad') return (name === undefined || name === 'constant') && (node.inputs[2] ?? '') === '' && view.graph.weights.has(node.inputs[1] ?? '');
  if (node.op === 'Gather') return view.graph.weights.has(node.inputs[1]);
  if (node.op === 'MaxPool') return (node.outputs[1] ?? '') === '';
  return true;
}

/** Values whose ranges static activations need: inputs of the sites, and results that are kept in integers. */
export function activationValues(graph: Graph): string[] {
  const { sites, made, read } = planStatic(graph);
  return [...new Set([...read, ...[...sites.values()].map(({ input }) => input), ...[...made.values()].filter(({ like }) => like === undefined).map(({ value }) => value)])];
}
