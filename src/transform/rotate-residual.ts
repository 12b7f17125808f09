/**
 * Rotations that cost nothing as the network runs: the residual stream itself is turned, by the rows of what writes it
 * and the columns of what reads it (QuaRot, arXiv:2404.00456). Sums, divisions by a number per token and root mean squares
 * do not mind a rotation; gains of normalizations go into the layers that read them first. Where a stream comes from or
 * goes to something else, one product turns it there.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { inferTypes } from '../graph/infer.ts';
import { linearSites, withMatrix, type Linear } from '../graph/linear.ts';
import { redirectUses, removeDeadNodes } from '../graph/rewrite.ts';
import { bodies, viewOf, type GraphView } from '../graph/traverse.ts';
import { isFloatType, readFloats } from '../graph/values.ts';
import { floatTensor } from '../tensor-ref.ts';
import { transpose } from '../numeric/matrix.ts';
import { exclusiveReaders, scaleBetween } from './fold-scale.ts';
import { turnable, TurnWriter, type Rotated } from './rotate.ts';
import { turnRows, type Rotation } from './rotation.ts';

/** Turns every residual stream where more values are read turned than have to be turned on the way. `rotationOf` is asked by width. */
export async function rotateResidual(graph: Graph, rotationOf: (width: number) => Rotation): Promise<Rotated> {
  const folded = await foldGains(graph);
  const typed = await inferTypes(folded);
  const streams = findStreams(typed).filter(({ reads, crossings }) => reads.size > crossings);
  if (streams.length === 0) return { graph, kept: new Set(), turned: [] };
  const writer = new TurnWriter(folded);
  const entries = new Map<string, string>();
  const exits = new Map<Node, Map<string, string>>();
  const matrices = new Map<string, { site: Linear; matrix: Float32Array }>();
  const vectors = new Map<string, Float32Array>();
  const change = async (site: Linear, turn: (matrix: Float32Array) => Float32Array): Promise<void> => {
    matrices.set(site.id, { site, matrix: turn(matrices.get(site.id)?.matrix ?? await site.weightMatrix()) });
  };
  for (const stream of streams) {
    const rotation = rotationOf(stream.width);
    for (const site of stream.readers) await change(site, (matrix) => turnRows(matrix, rotation));
    for (const site of stream.writers) await change(site, (matrix) => transpose(turnRows(transpose(matrix, site.rows, site.cols), rotation), site.cols, site.rows));
    for (const name of stream.biases) vectors.set(name, turnRows(await readFloats(typed.weights.get(name)!), rotation));
    for (const value of stream.entries) entries.set(value, writer.turn(value, rotation));
    for (const [node, values] of stream.exits) {
      const known = exits.get(node) ?? new Map<string, string>();
      for (const value of values) known.set(value, writer.turn(entries.get(value) ?? value, rotation, { back: true }));
      exits.set(node, known);
    }
  }
  const swap = (node: Node): Node => ({ ...node, inputs: node.inputs.map((name) => exits.get(node)?.get(name) ?? entries.get(name) ?? name) });
  let next = writer.into({ ...folded, nodes: folded.nodes.map(swap) });
  for (const { site, matrix } of matrices.values()) next = withMatrix(next, site, matrix);
  const weights = new Map(next.weights);
  for (const [name, values] of vectors) weights.set(name, floatTensor(name, weights.get(name)!.shape, values));
  return { graph: { ...next, weights }, kept: writer.kept, turned: streams.flatMap(({ reads }) => [...reads]) };
}

/** Gains that multiply a value per channel go into the columns of its readers; the multiplications are gone. */
export async function foldGains(graph: Graph): Promise<Graph> {
  let next = graph;
  const gone = new Map<string, string>();
  for (const node of graph.nodes) {
    if (node.op !== 'Mul' || node.domain !== '') continue;
    const at = node.inputs.findIndex((name) => isVector(next, name));
    if (at < 0) continue;
    const [gain, other, output] = [await readFloats(next.weights.get(node.inputs[at])!), node.inputs[1 - at], node.outputs[0]];
    const safe = gain.every((g) => Number.isFinite(1 / g));
    if (!safe || next.weights.has(other) || exclusiveReaders(next, output) === undefined) continue;
    const scaled = await scaleBetween(next, output, gain);
    if (scaled === undefined) continue;
    next = scaled;
    gone.set(output, other);
  }
  return gone.size === 0 ? graph : removeDeadNodes(redirectUses(next, gone));
}

const isVector = ({ weights }: Graph, name: string): boolean => {
  const weight = weights.get(name);
  return weight !== undefined && isFloatType(weight.type) && weight.shape.length === 1 && weight.shape[0] > 1;
};

interface Stream {
  readonly width: number;
  /** Values that layers read. */
  readonly reads: Set<string>;
  readonly readers: Linear[];
  readonly writers: Linear[];
  /** Vectors that are added to the stream. */
  readonly biases: string[];
  /** Values made by what cannot be turned. */
  readonly entries: string[];
  /** Values by the nodes that must see them as they were. */
  readonly exits: Map<Node, string[]>;
  /** Products that turn it on the way. */
  crossings: number;
}

/** Sets of values that are sums and multiples of each other, token by token, with what makes and reads them. */
function findStreams(graph: Graph): Stream[] {
  const view = viewOf(graph);
  const sites = new Map(turnable(graph).map((site) => [site.node, site]));
  const known = new Map(linearSites(graph).map((site) => [site.node, site]));
  const joined = new Map<string, string>();
  const root = (value: string): string => {
    const parent = joined.get(value);
    return parent === undefined ? value : root(parent);
  };
  for (const node of graph.nodes) {
    for (const [a, b] of passages(node, view)) if (root(a) !== root(b)) joined.set(root(a), root(b));
  }
  const streams = new Map<string, Stream>();
  const streamOf = (value: string): Stream | undefined => {
    const width = widthOf(view, value);
    if (width === undefined || width < 4 || graph.weights.has(value)) return undefined;
    const id = root(value);
    if (!streams.has(id)) streams.set(id, { width, reads: new Set(), readers: [], writers: [], biases: [], entries: [], exits: new Map(), crossings: 0 });
    return streams.get(id);
  };
  for (const { name } of graph.inputs) streamOf(name)?.entries.push(name);
  for (const node of graph.nodes) {
    const site = sites.get(node);
    const within = new Set(passages(node, view).flat());
    for (const input of new Set(node.inputs)) {
      if (input === '') continue;
      const stream = streamOf(input);
      if (stream === undefined) continue;
      if (site?.input === input) { stream.readers.push(site); stream.reads.add(input); }
      else if (within.has(input)) { const bias = biasOf(node, view); if (bias !== undefined) stream.biases.push(bias); }
      else if (!isMeanSquare(node, input, view)) stream.exits.set(node, [...(stream.exits.get(node) ?? []), input]);
    }
    for (const output of node.outputs) {
      if (output === '' || within.has(output)) continue;
      const stream = streamOf(output);
      if (stream === undefined) continue;
      const bias = site === undefined ? '' : node.inputs[2] ?? '';
      if (known.has(node) && site !== undefined && (bias === '' || ownVector(view, bias, stream.width))) {
        stream.writers.push(site);
        if (bias !== '') stream.biases.push(bias);
      } else stream.entries.push(output);
    }
  }
  for (const stream of streams.values()) {
    stream.crossings = stream.entries.length + new Set([...stream.exits.values()].flat()).size;
    // A graph output has no reader that could be given another value, and a body reads by name.
    const values = [...stream.reads, ...stream.entries];
    if ([...view.outputs].some((name) => root(name) === root(values[0] ?? '')) || [...stream.exits.keys()].some((node) => bodies(node).length > 0)) stream.crossings = Infinity;
  }
  return [...streams.values()];
}

/** Pairs of values of which one is turned if the other is. */
function passages(node: Node, view: GraphView): [string, string][] {
  if (node.domain !== '') return [];
  const [a, b] = node.inputs;
  const [output] = node.outputs;
  const width = widthOf(view, output);
  if (width === undefined || width < 4) return [];
  const wide = (name: string): boolean => widthOf(view, name) === width && !view.graph.weights.has(name);
  const narrow = (name: string): boolean => { const shape = view.info(name)?.shape; return shape !== undefined && (shape.length === 0 || shape.at(-1) === 1); };
  switch (node.op) {
    case 'Identity': return [[a, output]];
    case 'Add': case 'Sub':
      if (wide(a) && wide(b)) return [[a, output], [b, output]];
      return wide(a) && ownVector(view, b, width) ? [[a, output]] : node.op === 'Add' && wide(b) && ownVector(view, a, width) ? [[b, output]] : [];
    case 'Mul': return wide(a) && narrow(b) ? [[a, output]] : wide(b) && narrow(a) ? [[b, output]] : [];
    case 'Div': return wide(a) && narrow(b) ? [[a, output]] : [];
    default: return [];
  }
}

/** The vector that a sum adds to a stream. */
function biasOf(node: Node, { graph: { weights } }: GraphView): string | undefined {
  return node.op === 'Add' || node.op === 'Sub' ? node.inputs.find((name) => weights.has(name)) : undefined;
}

const ownVector = (view: GraphView, name: string, width: number): boolean => {
  const weight = view.graph.weights.get(name);
  return weight !== undefined && isFloatType(weight.type) && weight.shape.length === 1 && weight.shape[0] === width && view.consumers.get(name)?.length === 1;
};

/** Whether a node takes the value into a mean of squares over channels, which a rotation leaves as it is. */
function isMeanSquare(node: Node, value: string, view: GraphView): boolean {
  const square = (node.op === 'Pow' && node.inputs[0] === value) || (node.op === 'Mul' && node.inputs[0] === value && node.inputs[1] === value);
  const mean = view.onlyConsumer(node.outputs[0]);
  return square && mean?.op === 'ReduceMean' && widthOf(view, mean.outputs[0]) === 1;
}

const widthOf = (view: GraphView, value: string): number | undefined => {
  const dim = view.info(value)?.shape?.at(-1);
  return typeof dim === 'number' ? dim : undefined;
};
