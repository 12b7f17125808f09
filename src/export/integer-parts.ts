/** How a network falls into a part that computes in integers and what comes behind it, and what has no integer form. */
import { moving } from '../engine/integer/network.ts';
import { defineErrors } from '../errors.ts';
import { bindDimensions } from '../graph/bind.ts';
import type { Dim, Graph, Node } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { label, viewOf, type GraphView } from '../graph/traverse.ts';
import { readNumbers } from '../graph/values.ts';

export const errors = defineErrors('integers', {
  noLayer: (_: object) => 'no layer has integer weights, so that nothing can be computed in integers',
  operator: ({ node, op }: { node: string; op: string }) => [`node ${node}: ${op} has no integer-only form here`, 'write the ordinary 8-bit form with --bits 8, which computes such operators in float'] as const,
  form: ({ node, reason }: { node: string; reason: string }) => `node ${node}: ${reason}`,
  float: ({ weight, reason }: { weight: string; reason: string }) => `weight ${weight}: ${reason}, and integer layers come after it`,
  range: ({ value }: { value: string }) => `no range was observed for ${value}`,
  wide: ({ node, bound }: { node: string; bound: number }) => `node ${node}: sums may reach ${bound}, beyond 32 bits`,
});

export const clamps = new Set(['Relu', 'Clip']);
export const pools = new Set(['GlobalAveragePool', 'AveragePool', 'ReduceMean']);

/** A value that is computed: by which node, and which clamp it passes on its way. */
export interface Made { readonly value: string; readonly node: Node; readonly site?: Linear; readonly clamp?: Node }

/** How a network falls into an integer part and what comes behind it. */
export interface Parts {
  readonly view: GraphView;
  readonly sites: ReadonlyMap<Node, Linear>;
  /** Nodes of the integer part, but those that stand for the bias or the clamp of another one. */
  readonly made: readonly Made[];
  readonly tail: readonly Node[];
}

/** The values whose ranges an integer network needs: inputs, and results that are rescaled. */
export function integerValues(graph: Graph): string[] {
  const { made, view } = partsOf(graph, linearSites(graph).filter(({ kind }) => kind !== 'ConvTranspose'));
  const inputs = graph.inputs.map(({ name }) => name).filter((name) => (view.consumers.get(name) ?? []).some((node) => made.some((one) => one.node === node)));
  const computed = ({ node, value, site, clamp }: Made): boolean => (site === undefined ? node.op === 'Add' || pools.has(node.op) || clamps.has(node.op) : clamp !== undefined || view.consumers.has(value));
  return [...inputs, ...made.filter(computed).map(({ value }) => value)];
}

export function partsOf(graph: Graph, quantized: readonly Linear[]): Parts {
  const view = viewOf(graph);
  const sites = new Map(quantized.map((site) => [site.node, site]));
  const integer = new Set<Node>();
  const mark = (node: Node | undefined): void => {
    if (node === undefined || integer.has(node)) return;
    integer.add(node);
    for (const input of node.inputs) mark(view.producers.get(input));
  };
  for (const { node, bias } of quantized) {
    mark(node);
    if (bias !== undefined) integer.add(bias.node);
  }
  const absorbed = new Set<Node>();
  const made: Made[] = [];
  for (const node of graph.nodes) {
    if (!integer.has(node) || absorbed.has(node)) continue;
    const site = sites.get(node);
    let [value] = node.outputs;
    if (site?.bias !== undefined && site.bias.node !== node) {
      absorbed.add(site.bias.node);
      [value] = site.bias.node.outputs;
    }
    const next = view.onlyConsumer(value);
    const clamp = next !== undefined && integer.has(next) && clamps.has(next.op) && !moving.has(node.op) && !clamps.has(node.op) && next.inputs[0] === value ? next : undefined;
    if (clamp !== undefined) {
      absorbed.add(clamp);
      [value] = clamp.outputs;
    }
    made.push({ value, node, ...(site === undefined ? {} : { site }), ...(clamp === undefined ? {} : { clamp }) });
  }
  return { view, sites, made, tail: graph.nodes.filter((node) => !integer.has(node)) };
}

export type Shapes = (value: string) => readonly Dim[] | undefined;

/** Shapes of all values for one sample. */
export async function shapesOf(graph: Graph): Promise<Shapes> {
  const batch = Object.fromEntries(graph.inputs.flatMap(({ shape }) => (typeof shape?.[0] === 'string' ? [[shape[0], 1]] : [])));
  const { info } = viewOf(await bindDimensions(graph, batch));
  return (value) => info(value)?.shape;
}

/** Refuses what has no integer form. */
export async function refuse({ node, site }: Made, graph: Graph, shapes: Shapes): Promise<void> {
  const wrong = (reason: string): Error => errors.form({ node: label(node), reason });
  const { weights } = graph;
  if (site === undefined && ['Conv', 'Gemm', 'MatMul', 'ConvTranspose'].includes(node.op)) throw errors.float({ weight: node.inputs[1], reason: 'it stays float' });
  const attribute = (name: string): unknown => node.attributes[name]?.value;
  if (site !== undefined) {
    if (site.kernel.length > 2) throw wrong(`${site.kernel.length} spatial axes; integer convolutions here have one or two`);
    if ((attribute('alpha') ?? 1) !== 1 || (attribute('beta') ?? 1) !== 1) throw wrong('alpha and beta other than 1 have no integer form here');
    if (node.inputs[2] !== undefined && node.inputs[2] !== '' && site.bias === undefined) throw wrong('the bias is not constant');
    return;
  }
  if (node.domain !== '') throw errors.operator({ node: label(node), op: `${node.domain}:${node.op}` });
  if (node.op === 'Add' || node.op === 'Concat') {
    if (node.inputs.some((input) => weights.has(input))) throw wrong(`${node.op} with a constant has no integer form here`);
  } else if (pools.has(node.op)) await poolSize(node, graph, shapes);
  else if (node.op === 'Pad') {
    const fill = weights.get(node.inputs[2] ?? '');
    if ((attribute('mode') ?? 'constant') !== 'constant' || ((node.inputs[2] ?? '') !== '' && (fill === undefined || (await readNumbers(fill))[0] !== 0))) throw wrong('only padding with zeros has an integer form here');
  } else if (node.op === 'Resize' && (attribute('mode') ?? 'nearest') !== 'nearest') throw wrong('only repeating the nearest value has an integer form here');
  else if (node.op === 'MaxPool' && (node.outputs[1] ?? '') !== '') throw wrong('the places of MaxPool have no integer form here');
  else if (!moving.has(node.op) && !clamps.has(node.op)) throw errors.operator({ node: label(node), op: node.op });
  if (node.inputs.slice(1).some((input) => input !== '' && !weights.has(input)) && node.op !== 'Add' && node.op !== 'Concat') throw wrong(`${node.op} with computed settings has no integer form here`);
}

/** Elements that each result of a pool is the mean of. */
export async function poolSize(node: Node, graph: Graph, shapes: Shapes): Promise<number> {
  const wrong = (reason: string): Error => errors.form({ node: label(node), reason });
  const ints = (name: string): readonly number[] => (node.attributes[name]?.value ?? []) as readonly number[];
  if (typeof shapes(node.inputs[0])?.[1] !== 'number') throw wrong('the number of channels of what is averaged is not known');
  if (node.op === 'AveragePool') {
    if (ints('pads').some((pad) => pad !== 0) && node.attributes.count_include_pad?.value !== 1) throw wrong('means over windows of unequal size have no integer form here');
    if (node.attributes.ceil_mode?.value === 1 || ((node.attributes.auto_pad?.value ?? 'NOTSET') as string).startsWith('SAME')) throw wrong('means over windows of unequal size have no integer form here');
    return ints('kernel_shape').reduce((product, extent) => product * extent, 1);
  }
  const spatial = shapes(node.inputs[0])?.slice(2);
  if (spatial === undefined || spatial.length === 0 || !spatial.every((dim) => typeof dim === 'number')) throw wrong('the size of what is averaged is not known');
  if (node.op === 'ReduceMean') {
    const given = graph.weights.get(node.inputs[1] ?? '');
    const axes = (given === undefined ? [...ints('axes')] : await readNumbers(given)).map((axis) => (axis < 0 ? axis + spatial.length + 2 : axis)).sort((a, b) => a - b);
    if (axes.length !== spatial.length || axes.some((axis, i) => axis !== i + 2)) throw wrong('only means over all positions have an integer form here');
  }
  return spatial.reduce((product: number, dim) => product * (dim as number), 1);
}
