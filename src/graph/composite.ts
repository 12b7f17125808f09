/**
 * Composite nodes: operators of the domain `fewbit` that no engine knows. Each is one row: what it means in standard
 * operators, and the gradient it passes on, which need not be the derivative (a straight-through estimator is not).
 */
import { defineErrors } from '../errors.ts';
import { GraphTape, type Tape } from './gradient/tape.ts';
import { batchNormTraining } from './gradient/batchnorm.ts';
import type { Graph, Node } from './graph.ts';
import { freshNames, removeDeadNodes } from './rewrite.ts';
import type { GradientSite } from './gradient/site.ts';

export const compositeDomain = 'fewbit';

export interface Composite {
  /** Operator name. */
  readonly op: string;
  /** Writes the node in standard operators and returns its outputs. */
  expand(node: Node, tape: Tape): readonly string[];
  /** Gradient to each input; undefined passes none. */
  gradient(site: GradientSite): readonly (string | undefined)[];
}

export type CompositeTable = ReadonlyMap<string, Composite>;

const errors = defineErrors('composite', {
  unknown: (f: { op: string }) => `no composite is named ${f.op}`,
});

/** Rows that need no table: they stand for standard operators. */
const builtIn: CompositeTable = new Map([[batchNormTraining.op, batchNormTraining]]);

/** The row of a node. */
export function compositeOf(node: Node, table: CompositeTable): Composite {
  const row = table.get(node.op) ?? builtIn.get(node.op);
  if (row === undefined) throw errors.unknown({ op: node.op });
  return row;
}

/** The graph with every composite written in standard operators; composites inside of expansions are expanded too. */
export function lower(graph: Graph, table: CompositeTable = new Map()): Graph {
  let current = graph;
  while (current.nodes.some(({ domain }) => domain === compositeDomain)) {
    const tape = new GraphTape(freshNames(current));
    const nodes: Node[] = [];
    for (const node of current.nodes) {
      if (node.domain !== compositeDomain) {
        nodes.push(node);
        continue;
      }
      const results = compositeOf(node, table).expand(node, tape);
      nodes.push(...tape.take());
      node.outputs.forEach((output, i) => {
        if (output !== '') nodes.push({ name: '', op: 'Identity', domain: '', inputs: [results[i]], outputs: [output], attributes: {} });
      });
    }
    const opset = new Map([...current.opset].filter(([domain]) => domain !== compositeDomain));
    current = { ...current, nodes, weights: new Map([...current.weights, ...tape.weights]), opset: new Map([...opset, ...tape.opset]) };
  }
  return removeDeadNodes(current);
}
