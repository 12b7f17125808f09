/**
 * Element types and shapes of every value, found in one pass from the inputs and weights. Symbolic dimensions keep their
 * names; the contents of small integer tensors (results of Shape and what is computed from them) are followed, so that
 * exported Reshape chains resolve. What cannot be known stays undefined.
 */
import { isBlockType, type ElementType } from '../tensor-ref.ts';
import type { Attribute, Dim, Graph, Node, ValueInfo } from './graph.ts';
import { contentOf } from './infer-content.ts';
import { shapesOf } from './infer-shapes.ts';
import { typesOf } from './infer-types.ts';
import { readNumbers } from './values.ts';

/** What is known of a value. */
export interface Known {
  readonly type: ElementType | 'string' | undefined;
  readonly shape: readonly Dim[] | undefined;
  /** Entries of an integer scalar or vector. */
  readonly content?: readonly Dim[];
}

export const unknown: Known = { type: undefined, shape: undefined };

/** One node and what is known of its surroundings, as rules see it. */
export interface Site {
  readonly node: Node;
  /** Operator set of the node's domain. */
  readonly opset: number;
  /** Known facts of input `index`; an omitted input is undefined. */
  input(index: number): Known | undefined;
  int(name: string, fallback: number): number;
  ints(name: string): readonly number[] | undefined;
  text(name: string): string | undefined;
  attribute(name: string): Attribute | undefined;
  /** Outputs of a body, inferred with the given facts for its inputs. */
  body(attribute: string, inputs: readonly (Known | undefined)[]): readonly Known[];
}

/** Integer tensors up to this many entries are followed; shapes and axes are shorter. */
const contentLimit = 64;
/** Shapes of more dimensions are left unknown: files may name 32, but operators can double the rank of what they are given. */
const rankLimit = 64;

/** What is known of the values around a body, by name. */
type Outer = (name: string) => Known | undefined;
const nothing: Outer = () => undefined;

/** The graph with the type, and where possible the shape, of every value noted in `values` and on its outputs. */
export async function inferTypes(graph: Graph): Promise<Graph> {
  const contents = new Map<Graph, ReadonlyMap<string, readonly number[]>>();
  await readContents(graph, contents);
  return inferGraph(graph, nothing, [], contents);
}

/** Values of the outer graph whose every entry follows from shapes and weights: small int64 and int32 vectors and scalars. */
export async function inferContents(graph: Graph): Promise<Map<string, Known & { readonly content: readonly number[] }>> {
  const contents = new Map<Graph, ReadonlyMap<string, readonly number[]>>();
  await readContents(graph, contents);
  const all = new Map<string, Known>();
  inferGraph(graph, nothing, [], contents, all);
  const found = new Map<string, Known & { readonly content: readonly number[] }>();
  for (const [name, known] of all) {
    const { type, shape, content } = known;
    if ((type !== 'i64' && type !== 'i32') || shape === undefined || shape.length > 1 || content === undefined) continue;
    const count = shape.length === 0 ? 1 : shape[0];
    if (count === content.length && content.every((entry) => typeof entry === 'number')) found.set(name, { ...known, content: content as readonly number[] });
  }
  return found;
}

/** Entries of the small integer weights of a graph and its bodies, read before the pass so that rules are plain functions. */
async function readContents(graph: Graph, into: Map<Graph, ReadonlyMap<string, readonly number[]>>): Promise<void> {
  const found = new Map<string, readonly number[]>();
  for (const [name, weight] of graph.weights) {
    const count = weight.shape.reduce((product, dim) => product * dim, 1);
    const isInteger = weight.type === 'i64' || weight.type === 'i32';
    if ((isInteger || weight.type === 'f32') && weight.shape.length <= 1 && count <= contentLimit) found.set(name, await readNumbers(weight));
  }
  into.set(graph, found);
  for (const node of graph.nodes) {
    for (const value of Object.values(node.attributes)) if (value.kind === 'graph') await readContents(value.value, into);
  }
}

function inferGraph(
  graph: Graph, outer: Outer, given: readonly (Known | undefined)[],
  contents: ReadonlyMap<Graph, ReadonlyMap<string, readonly number[]>>, known: Map<string, Known> = new Map(),
): Graph {
  // Looked up where it is, not copied: there may be thousands of bodies among thousands of values.
  const seen: Outer = (name) => known.get(name) ?? outer(name);
  const outputs = new Map(graph.outputs.map((output) => [output.name, output]));
  for (const [i, input] of graph.inputs.entries()) known.set(input.name, merge({ type: input.type, shape: input.shape }, given[i] ?? unknown));
  for (const [name, weight] of graph.weights) {
    known.set(name, { type: isBlockType(weight.type) ? undefined : weight.type, shape: weight.shape, content: contents.get(graph)?.get(name) });
  }
  for (const node of graph.nodes) {
    const found = inferNode(node, graph, seen, contents);
    for (const [i, name] of node.outputs.entries()) {
      if (name === '') continue;
      const noted = graph.values.get(name) ?? outputs.get(name);
      known.set(name, merge(found[i] ?? unknown, noted ?? unknown));
    }
  }
  const info = (name: string): ValueInfo => {
    const { type, shape } = seen(name) ?? unknown;
    return { name, type, shape };
  };
  const values = new Map<string, ValueInfo>();
  for (const node of graph.nodes) {
    for (const name of node.outputs) {
      if (name === '' || outputs.has(name)) continue;
      const found = info(name);
      if (found.type !== undefined || found.shape !== undefined) values.set(name, found);
    }
  }
  return { ...graph, values, outputs: graph.outputs.map((output) => info(output.name)) };
}

/** Facts found and facts noted in the file; where both speak of a dimension, a number wins, then what the file says. */
function merge(found: Known, noted: Known): Known {
  const type = found.type ?? noted.type;
  if (found.shape === undefined) return { ...found, type, shape: noted.shape };
  if (noted.shape?.length !== found.shape.length) return { ...found, type };
  const shape = found.shape.map((dim, i) => (typeof dim === 'number' ? dim : noted.shape![i] ?? dim));
  return { ...found, type, shape };
}

function inferNode(
  node: Node, graph: Graph, known: Outer, contents: ReadonlyMap<Graph, ReadonlyMap<string, readonly number[]>>,
): readonly Known[] {
  // Inferred once for all rules: bodies in bodies would double the work at every level.
  const bodies = new Map<string, readonly Known[]>();
  const attribute = (name: string): Attribute | undefined => node.attributes[name];
  const site: Site = {
    node, attribute,
    opset: graph.opset.get(node.domain) ?? 1,
    input: (index) => ((node.inputs[index] ?? '') === '' ? undefined : known(node.inputs[index]) ?? unknown),
    int: (name, fallback) => { const found = attribute(name); return found?.kind === 'int' ? found.value : fallback; },
    ints: (name) => { const found = attribute(name); return found?.kind === 'ints' ? found.value : undefined; },
    text: (name) => { const found = attribute(name); return found?.kind === 'string' ? found.value : undefined; },
    body: (name, inputs) => {
      const found = attribute(name);
      const made = bodies.get(name) ?? (found?.kind === 'graph' ? inferGraph(found.value, known, inputs, contents).outputs : []);
      bodies.set(name, made);
      return made;
    },
  };
  const types = typesOf(site);
  const shapes = shapesOf(site);
  const content = contentOf(site);
  return node.outputs.map((_, i) => ({
    type: types[i], shape: possible(shapes[i]),
    ...(i === 0 && content !== undefined && content.length <= contentLimit ? { content } : {}),
  }));
}

/** Damaged attributes give sizes that no tensor has. */
function possible(shape: readonly Dim[] | undefined): readonly Dim[] | undefined {
  if (shape === undefined || shape.length > rankLimit) return undefined;
  const isSize = (dim: Dim): boolean => typeof dim !== 'number' || (Number.isSafeInteger(dim) && dim >= 0);
  return shape.every(isSize) ? shape : shape.map((dim) => (isSize(dim) ? dim : undefined));
}
