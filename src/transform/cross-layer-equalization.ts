/**
 * Cross-layer equalization (Nagel et al. 2019): between two layers with nothing but ReLU between them, channel i is
 * rescaled so that row i of the first and column i of the second reach equally far: s_i = √(r1_i/r2_i), first ÷ s,
 * second × s. Swept until nothing moves; depthwise layers are a first and a second in turn. Fold BatchNorm before.
 * Clipped activations (ReLU6) are not scale-free: pairs across a Clip stay as they are.
 */
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { viewOf } from '../graph/traverse.ts';
import { exclusiveReaders, inputChannels, scaleBetween } from './fold-scale.ts';
import { maxima } from './smoothquant.ts';

export interface Equalized {
  readonly graph: Graph;
  /** Values between two layers that were rescaled. */
  readonly pairs: readonly string[];
}

const between = new Set(['Relu', 'LeakyRelu', 'PRelu']);

/** Sweeps over all pairs until every factor is within 1 % of one, at most `sweeps` times (default 20). */
export async function equalizeLayers(graph: Graph, options: { readonly sweeps?: number } = {}): Promise<Equalized> {
  const { sweeps = 20 } = options;
  const pairs = new Set<string>();
  let next = graph;
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let moved = false;
    for (const value of new Set(linearSites(next).map((site) => site.input))) {
      const factors = await pairFactors(next, value);
      if (factors === undefined || !factors.some((s) => s > 1.01 || s < 0.99)) continue;
      const scaled = await scaleBetween(next, value, factors);
      if (scaled === undefined) continue;
      next = scaled;
      pairs.add(value);
      moved = true;
    }
    if (!moved) break;
  }
  return { graph: next, pairs: [...pairs] };
}

async function pairFactors(graph: Graph, value: string): Promise<Float32Array | undefined> {
  const first = sourceLayer(graph, value);
  const readers = exclusiveReaders(graph, value);
  if (first === undefined || readers === undefined || readers.some((site) => inputChannels(site) !== first.rows)) return undefined;
  const out = new Float32Array(first.rows), into = new Float32Array(first.rows);
  const matrix = await first.weightMatrix();
  for (let i = 0; i < matrix.length; i++) {
    const row = Math.floor(i / first.cols);
    out[row] = Math.max(out[row], Math.abs(matrix[i]));
  }
  for (const reader of readers) maxima(into, await reader.weightMatrix(), reader);
  return out.map((r, i) => (r > 0 && into[i] > 0 ? Math.sqrt(r / into[i]) : 1));
}

/** The layer whose output reaches a value through nothing but scale-free activations and its bias. */
function sourceLayer(graph: Graph, value: string): Linear | undefined {
  const view = viewOf(graph);
  let name = value;
  for (let node = view.producers.get(name); node !== undefined; node = view.producers.get(name)) {
    const site = linearSites(graph).find((candidate) => candidate.output === name && candidate.kind !== 'Gather');
    if (site !== undefined) return site;
    if (node.op === 'Add' && graph.weights.has(node.inputs[1])) name = node.inputs[0];
    else if (node.op === 'Add' && graph.weights.has(node.inputs[0])) name = node.inputs[1];
    else if (between.has(node.op)) name = node.inputs[0];
    else return undefined;
    if (view.onlyConsumer(name) === undefined) return undefined;
  }
  return undefined;
}
