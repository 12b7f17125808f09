/**
 * Inputs lifted to be non-negative, so that codes without a sign reach as far: x·Wᵀ + b = (x + c)·Wᵀ + (b − c·ΣW)
 * (SVDQuant, arXiv:2411.05007). Valid only where nothing below −c can come.
 */
import { floatTensor } from '../tensor-ref.ts';
import type { Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { correctBias } from './bias-correction.ts';
import { turnable } from './rotate.ts';
import { valueFloor } from './value-floor.ts';

/** 11/64: GELU goes down to −0.17, in its exact and its tanh form; SiLU goes further. */
export const geluShift = 11 / 64;

/** b' − b of a layer whose input is lifted, per row of [rows, cols]. */
export function shiftedBias(matrix: Float32Array, rows: number, cols: number, shift: number): Float64Array {
  const change = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) change[r] += matrix[r * cols + c];
    change[r] *= -shift;
  }
  return change;
}

export interface Shifted {
  readonly graph: Graph;
  /** What layers read now that nothing below zero comes, lifted or by itself. */
  readonly unsigned: ReadonlySet<string>;
}

/** Lifts the inputs of layers that are known never to lie below −11/64; those that never lie below zero stay as they are. */
export async function shiftInputs(graph: Graph, sites: readonly Linear[] = turnable(graph)): Promise<Shifted> {
  const unsigned = new Set<string>();
  const lifted = new Map<string, string>();
  const signed = new Set<string>();
  const changes = new Map<string, Float64Array>();
  const fresh = freshNames(graph);
  for (const site of sites) {
    const { input } = site;
    if (unsigned.has(input) || signed.has(input)) continue;
    if (!lifted.has(input)) {
      const floor = await valueFloor(graph, input, geluShift);
      if (floor === undefined) { signed.add(input); continue; }
      if (floor >= 0) { unsigned.add(input); continue; }
      lifted.set(input, fresh(`${input}_lifted`));
    }
    changes.set(site.output, shiftedBias(await site.weightMatrix(), site.rows, site.cols, geluShift));
  }
  if (lifted.size === 0) return { graph, unsigned };
  const biased = await correctBias(graph, changes);
  const lift = freshNames(biased)('lift');
  const readers = new Set(sites.filter((site) => lifted.has(site.input)).map(({ id }) => id));
  const nodes = biased.nodes.map((node) => (lifted.has(node.inputs[0]) && readers.has(node.inputs[1]) ? { ...node, inputs: [lifted.get(node.inputs[0])!, ...node.inputs.slice(1)] } : node));
  const adds = [...lifted].map(([value, name]) => makeNode('Add', [value, lift], [name], { name }));
  const next: Graph = { ...biased, nodes: [...nodes, ...adds], weights: new Map(biased.weights).set(lift, floatTensor(lift, [], Float32Array.of(geluShift))) };
  return { graph: { ...next, nodes: sortNodes(next) }, unsigned: new Set([...unsigned, ...lifted.values()]) };
}
