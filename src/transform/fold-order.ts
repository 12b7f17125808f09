/**
 * Channels of a value put in another order where it is made: rows, biases and gains of the layers that it is computed
 * from, element by element, as gate and up projections are before a down projection. A normalization of a stream that
 * others read too keeps its order.
 */
import type { Graph } from '../graph/graph.ts';
import { linearSites, withMatrix, type Linear } from '../graph/linear.ts';
import { viewOf, type GraphView } from '../graph/traverse.ts';
import { encodeNumbers, isFloatType, readFloats } from '../graph/values.ts';
import { memoryTensor } from '../tensor-ref.ts';
import { exclusiveReaders } from './fold-scale.ts';

/** Operators that treat every element alike, whatever its channel. */
const elementwise = new Set(['Mul', 'Add', 'Sub', 'Div', 'Sigmoid', 'Relu', 'LeakyRelu', 'Gelu', 'Tanh', 'Erf', 'HardSwish', 'HardSigmoid', 'Clip', 'Abs', 'Neg', 'Pow', 'Sqrt', 'Exp']);

/** What a value's channels come from: products whose rows they are, and vectors along them. */
interface Sources { readonly sites: readonly Linear[]; readonly vectors: readonly string[] }

/** The graph that makes `value` with channel `order[k]` at place k; undefined where something else would see it. Readers are left as they are. */
export async function foldOrder(graph: Graph, value: string, order: Uint32Array): Promise<Graph | undefined> {
  if (exclusiveReaders(graph, value)?.every(({ kernel }) => kernel.length === 0) !== true) return undefined;
  const sources = sourcesOf(viewOf(graph), value, order.length);
  if (sources === undefined) return undefined;
  const weights = new Map(graph.weights);
  for (const name of sources.vectors) {
    const { type, shape } = weights.get(name)!;
    const values = await readFloats(weights.get(name)!);
    weights.set(name, memoryTensor(name, type, shape, encodeNumbers(type as 'f32', Float32Array.from(order, (from) => values[from]))));
  }
  let next: Graph = { ...graph, weights };
  for (const site of sources.sites) {
    const matrix = await site.weightMatrix();
    const turned = new Float32Array(matrix.length);
    order.forEach((from, to) => turned.set(matrix.subarray(from * site.cols, (from + 1) * site.cols), to * site.cols));
    next = withMatrix(next, site, turned);
  }
  return next;
}

function sourcesOf(view: GraphView, value: string, width: number): Sources | undefined {
  const sites = new Map(linearSites(view.graph).map((site) => [site.output, site]));
  const found = { sites: new Set<Linear>(), vectors: new Set<string>() };
  const values = new Set<string>();
  const nodes = new Set<unknown>();
  const waiting = [value];
  const isVector = (name: string): boolean => {
    const { type, shape } = view.graph.weights.get(name)!;
    return isFloatType(type) && shape.at(-1) === width && shape.slice(0, -1).every((dim) => dim === 1);
  };
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (values.has(name)) continue;
    values.add(name);
    const node = view.producers.get(name);
    if (node === undefined || node.domain !== '') return undefined;
    nodes.add(node);
    const site = sites.get(name);
    const inputs = site === undefined ? node.inputs : node.inputs.slice(2);
    if (site === undefined ? !elementwise.has(node.op) || node.outputs.length !== 1 : site.kernel.length > 0 || site.rows !== width || view.consumers.get(site.id)?.length !== 1) return undefined;
    if (site !== undefined) found.sites.add(site);
    for (const input of inputs.filter((one) => one !== '')) {
      const weight = view.graph.weights.get(input);
      if (weight === undefined) waiting.push(input);
      else if (weight.shape.every((dim) => dim === 1)) continue;
      else if (isVector(input) && view.consumers.get(input)?.length === 1) found.vectors.add(input);
      else return undefined;
    }
  }
  const seenElsewhere = [...values].some((name) => view.outputs.has(name) || (name !== value && (view.consumers.get(name) ?? []).some((reader) => !nodes.has(reader))));
  return seenElsewhere || found.sites.size === 0 ? undefined : { sites: [...found.sites], vectors: [...found.vectors] };
}
