/** Arms that are recipes: the graph as its file holds it, and how far values of it lie from the float network's. */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { exportWithInputs } from '../export/onnx-activations.ts';
import { exportWeightOnly } from '../export/onnx-weight-only.ts';
import type { NumberFormat } from '../formats/format.ts';
import type { Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { withOutputs } from '../graph/outputs.ts';
import { openGraph } from '../observe/taps.ts';
import { rows } from './data/dit.ts';
import { applyRecipe, type Applied } from '../recipes/apply.ts';
import type { Step } from '../recipes/recipe.ts';

export interface Written { readonly graph: Graph; readonly applied: Applied }

export interface ArmOptions {
  formatOf(site: Linear): NumberFormat | undefined;
  activationOf?(site: Linear): NumberFormat | undefined;
  /** Sample inputs. */
  readonly points: Feeds;
  readonly seed: number;
  readonly threads: number;
  onLine?(line: string): void;
}

/** Carries out steps and writes what they leave in standard operators, products in float. */
export async function written(graph: Graph, steps: readonly Step[], { points, ...options }: ArmOptions): Promise<Written> {
  const recipe = { name: 'arm', summary: '', needs: [], steps, formats: [], exports: [] };
  const applied = await applyRecipe(recipe, graph, { engine: ortNode, batches: () => [points], ...options });
  return { applied, graph: await standard(applied) };
}

/** Weights in codes; inputs rounded where they have formats. */
export async function standard({ graph, weights, activations }: Pick<Applied, 'graph' | 'weights' | 'activations'>): Promise<Graph> {
  if (weights.size === 0) return graph;
  return activations.size === 0 ? (await exportWeightOnly(graph, weights, { accuracyLevel: 0 })).graph : (await exportWithInputs(graph, weights, activations)).graph;
}

/** Values of a graph over points, `chunk` at a time; values without a sample axis once per chunk. */
export async function valuesOf(graph: Graph, names: readonly string[], points: Feeds, { threads = 1, chunk = 32 } = {}): Promise<Map<string, Float32Array[]>> {
  const session = await openGraph(await withOutputs(graph, names), ortNode, { threads });
  const found = new Map<string, Float32Array[]>(names.map((name) => [name, []]));
  const count = Object.values(points)[0].shape[0];
  try {
    for (let begin = 0; begin < count; begin += chunk) {
      const made = await session.run(rows(points, begin, Math.min(count, begin + chunk)), names);
      for (const name of names) found.get(name)!.push(made[name].data as Float32Array);
    }
  } finally {
    await session.dispose();
  }
  return found;
}

/** Σ (b − a)² / Σ a² of a value. */
export function relativeError(float: readonly Float32Array[], other: readonly Float32Array[]): number {
  let [error, energy] = [0, 0];
  float.forEach((part, i) => part.forEach((value, j) => { error += (other[i][j] - value) ** 2; energy += value ** 2; }));
  return error / energy;
}
