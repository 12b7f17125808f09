/**
 * A network cut into parts that are reconstructed one after the other (BRECQ, arXiv:2102.05426). A block lies between
 * values that everything after depends on alone: a residual unit, the attention or the feed-forward part of a
 * transformer, else a single layer with the functions behind it. Every node is in exactly one block.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { label, usedNames, viewOf, type GraphView } from '../graph/traverse.ts';

export type BlockUnit = 'layer' | 'block';

export interface Block {
  readonly name: string;
  /** In topological order. */
  readonly nodes: readonly Node[];
  /** Values that other blocks or the graph's inputs give. */
  readonly inputs: readonly string[];
  /** Values that other blocks read, or that the graph gives out. */
  readonly outputs: readonly string[];
  /** Layers with weights; a part without any is carried out and not reconstructed. */
  readonly sites: readonly Linear[];
}

/** Parts with more layers than this are taken layer by layer. */
const mostSites = 12;
/** A condition that every block reads, and long skips, tie a whole network into one part: so many of them are looked past. */
const mostTies = 4;

/** Functions behind a layer that belong to it: they keep every element apart. */
const absorbed = new Set([
  'BatchNormalization', 'Relu', 'Clip', 'LeakyRelu', 'PRelu', 'Sigmoid', 'Tanh', 'HardSigmoid', 'HardSwish', 'Swish', 'Elu', 'Selu', 'Gelu', 'Mish', 'Softplus', 'Add', 'Mul',
]);

/** Blocks in order of execution; each reads only what earlier ones give. */
export function blocksOf(graph: Graph, unit: BlockUnit): Block[] {
  const view = viewOf(graph);
  const siteOf = new Map(linearSites(graph).map((site) => [site.node, site]));
  const trunk = new Set<string>();
  const before: Node[] = [];
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    if (!siteOf.has(node) && !looksUp(node, graph) && ![...usedNames(node)].some((name) => trunk.has(name))) {
      before.push(node);
      continue;
    }
    for (const output of node.outputs) trunk.add(output);
    nodes.push(node);
  }
  const hasSite = (part: readonly Node[]): boolean => part.some((node) => siteOf.has(node));
  const sitesIn = (part: readonly Node[]): Linear[] => part.flatMap((node) => siteOf.get(node) ?? []);
  let parts = attach(untied(nodes, trunk, (part) => sitesIn(part).length), hasSite);
  parts = parts.flatMap((part) => (sitesIn(part).length > 1 && (unit === 'layer' || sitesIn(part).length > mostSites) ? byLayer(part, siteOf) : [part]));
  if (unit === 'block') parts = joinDepthwise(parts, sitesIn);
  if (before.length > 0) parts.unshift(before);
  return parts.map((part) => blockOf(part, sitesIn(part), view));
}

/** A table lookup starts the trunk as a layer does. */
const looksUp = ({ op, domain, inputs }: Node, { weights }: Graph): boolean => op === 'Gather' && domain === '' && weights.get(inputs[0])?.shape.length === 2;

/** Segments; as long as one has too many layers, what lives longest in it is looked past. */
function untied(nodes: readonly Node[], trunk: ReadonlySet<string>, layers: (part: readonly Node[]) => number): Node[][] {
  const flow = new Set(trunk);
  let parts = segments(nodes, flow);
  for (let tie = 0; tie < mostTies; tie++) {
    const tied = parts.find((part) => layers(part) > mostSites);
    if (tied === undefined) break;
    const born = new Map(tied.flatMap((node, i) => node.outputs.map((name) => [name, i] as const)));
    let longest: { readonly name: string; readonly life: number } | undefined;
    for (const [i, node] of tied.entries()) {
      for (const name of usedNames(node)) {
        const life = i - (born.get(name) ?? -1);
        if (flow.has(name) && (longest === undefined || life > longest.life)) longest = { name, life };
      }
    }
    if (longest === undefined) break;
    flow.delete(longest.name);
    parts = segments(nodes, flow);
  }
  return parts;
}

/** Cut wherever at most one value of the trunk is still to be read. */
function segments(nodes: readonly Node[], trunk: ReadonlySet<string>): Node[][] {
  const lastUse = new Map<string, number>();
  for (const [i, node] of nodes.entries()) for (const name of usedNames(node)) if (trunk.has(name)) lastUse.set(name, i);
  const parts: Node[][] = [];
  const live = new Set<string>();
  let open: Node[] = [];
  for (const [i, node] of nodes.entries()) {
    open.push(node);
    for (const name of usedNames(node)) if (lastUse.get(name) === i) live.delete(name);
    for (const output of node.outputs) if (lastUse.has(output)) live.add(output);
    if (live.size > 1) continue;
    parts.push(open);
    open = [];
  }
  if (open.length > 0) parts.push(open);
  return parts;
}

/** Parts without layers go to the part before them where they keep elements apart, else to the one after. */
function attach(parts: readonly Node[][], hasSite: (part: readonly Node[]) => boolean): Node[][] {
  const done: Node[][] = [];
  let waiting: Node[] = [];
  for (const part of parts) {
    if (hasSite(part)) {
      done.push([...waiting, ...part]);
      waiting = [];
    } else if (done.length > 0 && waiting.length === 0 && part.every(({ op, domain }) => domain === '' && absorbed.has(op))) done.push([...done.pop()!, ...part]);
    else waiting.push(...part);
  }
  if (waiting.length > 0) done.push(waiting);
  return done;
}

/** One part per layer: from its node to the next layer. */
function byLayer(part: readonly Node[], siteOf: ReadonlyMap<Node, Linear>): Node[][] {
  const parts: Node[][] = [];
  let open: Node[] = [];
  let seen = false;
  for (const node of part) {
    if (siteOf.has(node)) {
      if (seen) {
        parts.push(open);
        open = [];
      }
      seen = true;
    }
    open.push(node);
  }
  return [...parts, open];
}

const isDepthwise = ({ kind, groups, rows }: Linear): boolean => kind === 'Conv' && groups > 1 && groups === rows;
const isPointwise = ({ kind, groups, kernel }: Linear): boolean => kind === 'Conv' && groups === 1 && kernel.every((extent) => extent === 1);

/** Depthwise layers with the 1×1 layers around them: separable layers, and inverted residuals without a skip. */
function joinDepthwise(parts: readonly Node[][], sitesIn: (part: readonly Node[]) => Linear[]): Node[][] {
  const done: Node[][] = [];
  for (const part of parts) {
    const [previous, sites] = [sitesIn(done.at(-1) ?? []), sitesIn(part)];
    const single = sites.length === 1 ? sites[0] : undefined;
    const closes = single !== undefined && isPointwise(single) && previous.length > 0 && previous.length <= 2 && isDepthwise(previous.at(-1)!);
    const widens = single !== undefined && isDepthwise(single) && previous.length === 1 && isPointwise(previous[0]) && previous[0].rows > previous[0].cols;
    if (closes || widens) done.push([...done.pop()!, ...part]);
    else done.push(part);
  }
  return done;
}

function blockOf(nodes: readonly Node[], sites: readonly Linear[], { graph, consumers, outputs }: GraphView): Block {
  const own = new Set(nodes);
  const made = nodes.flatMap((node) => node.outputs.filter((name) => name !== ''));
  const inside = new Set(made);
  const inputs = new Set<string>();
  for (const node of nodes) for (const name of usedNames(node)) if (!inside.has(name) && !graph.weights.has(name)) inputs.add(name);
  return {
    nodes, sites, inputs: [...inputs],
    name: sites.length === 0 ? label(nodes[0]) : sites.length === 1 ? sites[0].id : `${sites[0].id} … ${sites.at(-1)!.id}`,
    outputs: made.filter((name) => outputs.has(name) || (consumers.get(name) ?? []).some((node) => !own.has(node))),
  };
}
