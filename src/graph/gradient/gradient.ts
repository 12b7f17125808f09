/**
 * Reverse-mode differentiation as a graph transform: `gradient(graph, loss, wrt)` appends backward nodes made of
 * ordinary operators. Every shape must be known: bind symbolic dimensions first. The result can be differentiated again.
 */
import { defineErrors } from '../../errors.ts';
import { compositeDomain, compositeOf, type CompositeTable } from '../composite.ts';
import type { Graph, Node } from '../graph.ts';
import { inferContents, inferTypes } from '../infer.ts';
import { freshNames } from '../rewrite.ts';
import { trainBatchNorm } from '../train-batchnorm.ts';
import { label, usedNames, viewOf, type GraphView } from '../traverse.ts';
import { isFloatType, readNumbers } from '../values.ts';
import { Recomputation } from './recompute.ts';
import { gradientRules } from './rules.ts';
import { GradientSite } from './site.ts';
import { GraphTape } from './tape.ts';
import { unrolled } from './unroll.ts';

const errors = defineErrors('gradient', {
  noRule: (f: { op: string; node: string }) => `no gradient rule for ${f.op} (${f.node})`,
  noValue: (f: { value: string }) => `no value is named ${f.value}`,
  shape: (f: { value: string; node: string }) => [`the shape of ${f.value} (${f.node}) is not known`, 'bind the symbolic dimensions of the inputs first'],
  notScalar: (f: { loss: string; shape: string }) => `the loss ${f.loss} is not one number: shape [${f.shape}]`,
  precision: (f: { node: string; value: string; type: string }) => [`${f.node} computes with ${f.value} in ${f.type}, gradients are float32`, 'train the model in float32 and make it narrow afterwards'],
  unused: (f: { value: string; loss: string }) => `the loss ${f.loss} does not depend on ${f.value}`,
});

export interface GradientOptions {
  readonly composites?: CompositeTable;
  /** Gradient that arrives at `loss`, as a value of the graph of the same shape; default ones, for a loss of one number. */
  readonly seed?: string;
  /** Inner values to keep, in any order; the backward pass computes what lies between them again instead of keeping it. */
  readonly recompute?: readonly string[];
}

export interface Differentiated {
  /** The graph with backward nodes; its outputs are the old ones. */
  readonly graph: Graph;
  /** The gradient's value by the name of what it belongs to. */
  readonly gradients: ReadonlyMap<string, string>;
}

/** Constants up to this many entries are read: axes, shapes, pads, scales. */
const contentLimit = 64;

/** Appends nodes that compute d loss / d value for every value of `wrt` (inputs, weights or inner values). */
export async function gradient(source: Graph, loss: string, wrt: readonly string[], { composites = new Map(), seed, recompute = [] }: GradientOptions = {}): Promise<Differentiated> {
  const typed = await inferTypes((await trainBatchNorm(source)).graph);
  const written = unrolled(typed);
  const graph = written === undefined ? typed : await inferTypes(written);
  const view = viewOf(graph);
  for (const value of [loss, ...wrt]) if (view.info(value) === undefined) throw errors.noValue({ value });
  const shapes = new Map<string, readonly number[]>();
  const shapeOf = (value: string, node: string): readonly number[] => {
    const shape = view.info(value)?.shape;
    if (shape === undefined || !shape.every((dim) => typeof dim === 'number')) throw errors.shape({ value, node });
    return shape as readonly number[];
  };

  const active = activeValues(view, wrt);
  const used = ancestors(view, loss);
  for (const value of wrt) if (!used.has(value)) throw errors.unused({ value, loss });
  for (const node of graph.nodes) {
    const isNeeded = dependsOn(node, active) && node.outputs.some((output) => used.has(output) && active.has(output));
    if (isNeeded && ruleOf(node, composites) === undefined) throw errors.noRule({ op: keyOf(node), node: label(node) });
    if (!isNeeded || node.op.startsWith('Cast')) continue;
    for (const value of node.inputs) {
      const type = view.info(value)?.type;
      if (active.has(value) && type !== undefined && type !== 'f32') throw errors.precision({ node: label(node), value, type });
    }
  }
  const lossShape = shapeOf(loss, 'the loss');
  if (seed === undefined && lossShape.some((dim) => dim !== 1)) throw errors.notScalar({ loss, shape: lossShape.join(', ') });
  const contents = await smallContents(graph);
  const fresh = freshNames(graph);
  const tape = new GraphTape(fresh);
  const sums = new Map<string, string[]>();
  const nodes: Node[] = [...graph.nodes];
  const total = (value: string): string | undefined => {
    const parts = sums.get(value);
    if (parts === undefined || parts.length === 0) return undefined;
    if (parts.length > 1) sums.set(value, [tape.op(parts.length === 2 ? 'Add' : 'Sum', parts)]);
    return sums.get(value)![0];
  };
  const values = new Map(graph.values);
  const again = new Recomputation(graph, recompute, {
    tape, fresh,
    size: (value) => {
      const info = view.info(value);
      return contents.has(value) || info?.type !== 'f32' ? undefined : (info.shape as readonly number[] | undefined)?.reduce((a, b) => a * b, 1);
    },
    repeat: (value, copy) => {
      const info = view.info(value);
      if (info !== undefined) values.set(copy, { ...info, name: copy });
      if (active.has(value)) active.add(copy);
      const content = contents.get(value);
      if (content !== undefined) contents.set(copy, content);
      if (info?.shape?.every((dim) => typeof dim === 'number') === true) shapes.set(copy, info.shape as readonly number[]);
    },
  });
  const start = seed ?? (lossShape.length === 0 ? tape.constant(1) : tape.op('Expand', [tape.constant(1), tape.ints(lossShape)]));
  sums.set(loss, [start]);
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!dependsOn(node, active)) continue;
    const arriving = node.outputs.map((output) => (output === '' ? undefined : total(output)));
    if (arriving.every((value) => value === undefined)) continue;
    for (const name of [...node.inputs, ...node.outputs]) {
      const { type, shape } = view.info(name) ?? {};
      if (isFloatType(type)) shapes.set(name, shapeOf(name, label(node)));
      else if (shape?.every((dim) => typeof dim === 'number') === true) shapes.set(name, shape as readonly number[]);
    }
    const first = arriving.findIndex((value) => value !== undefined);
    nodes.push(...tape.take(), ...again.open(i, arriving[first]!, shapes.get(node.outputs[first])!));
    const extend = (index: number): string => {
      const copy = again.copyOf(i);
      const at = copy === undefined ? i : nodes.findIndex((other) => other.outputs[0] === copy.outputs[0]);
      const outputs = [...nodes[at].outputs, ...Array<string>(Math.max(0, index + 1 - nodes[at].outputs.length)).fill('')];
      if (outputs[index] === '') outputs[index] = fresh(`${label(node)}/output${index}`);
      nodes[at] = { ...nodes[at], outputs };
      return outputs[index];
    };
    const site = new GradientSite(again.read(i), tape, arriving, { shapes, contents, active }, extend);
    const rule = ruleOf(node, composites);
    rule!(site).forEach((value, index) => {
      const input = node.inputs[index];
      if (value === undefined || input === '' || !active.has(input)) return;
      const parts = sums.get(input);
      if (parts === undefined) sums.set(input, [value]);
      else parts.push(value);
    });
    nodes.push(...tape.take());
  }
  const gradients = new Map<string, string>();
  for (const value of wrt) {
    const found = total(value) ?? tape.op('Expand', [tape.constant(0), tape.ints(shapeOf(value, 'its gradient'))]);
    gradients.set(value, found);
  }
  nodes.push(...tape.take());
  const opset = new Map([...graph.opset, ...tape.opset]);
  const needed = again.withoutUnused(nodes, [...gradients.values(), ...graph.outputs.map(({ name }) => name)]);
  return { graph: { ...graph, nodes: lastLayersLast(needed, new Set(gradients.values())), values, weights: new Map([...graph.weights, ...tape.weights]), opset }, gradients };
}

/**
 * Nodes that end in a gradient, moved to the end in the order of the forward pass. ONNX Runtime walks back from the last
 * node that nothing uses: so it finishes the gradients of the last layers first and frees what they read.
 */
function lastLayersLast(nodes: readonly Node[], gradients: ReadonlySet<string>): Node[] {
  const used = new Set(nodes.flatMap((node) => [...usedNames(node)]));
  const isEnd = ({ outputs }: Node): boolean => outputs.some((output) => gradients.has(output)) && !outputs.some((output) => used.has(output));
  return [...nodes.filter((node) => !isEnd(node)), ...nodes.filter(isEnd).reverse()];
}

/** An operator's name in the table of rules. */
const keyOf = ({ domain, op }: Node): string => (domain === '' ? op : `${domain}:${op}`);

function ruleOf(node: Node, composites: CompositeTable) {
  if (node.domain === compositeDomain) {
    const row = compositeOf(node, composites);
    return (site: GradientSite) => row.gradient(site);
  }
  const key = keyOf(node);
  return Object.hasOwn(gradientRules, key) ? gradientRules[key] : undefined;
}

/** True when a node, or a body that it carries, uses one of these values. */
const dependsOn = (node: Node, values: ReadonlySet<string>): boolean => [...usedNames(node)].some((name) => values.has(name));

/** Float values that depend on one of `wrt`. */
function activeValues(view: GraphView, wrt: readonly string[]): Set<string> {
  const active = new Set(wrt);
  for (const node of view.graph.nodes) {
    if (!dependsOn(node, active)) continue;
    for (const output of node.outputs) {
      const type = view.info(output)?.type;
      if (output !== '' && (type === undefined || isFloatType(type))) active.add(output);
    }
  }
  return active;
}

/** A value and all that it is computed from. */
function ancestors(view: GraphView, value: string): Set<string> {
  const found = new Set([value]);
  const open = [value];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const maker = view.producers.get(name);
    if (maker === undefined) continue;
    for (const input of usedNames(maker)) {
      if (found.has(input)) continue;
      found.add(input);
      open.push(input);
    }
  }
  return found;
}

async function smallContents(graph: Graph): Promise<Map<string, readonly number[]>> {
  const contents = new Map<string, readonly number[]>();
  for (const [name, known] of await inferContents(graph)) contents.set(name, known.content);
  for (const [name, weight] of graph.weights) {
    if (!contents.has(name) && weight.shape.reduce((a, b) => a * b, 1) <= contentLimit) contents.set(name, await readNumbers(weight));
  }
  return contents;
}
