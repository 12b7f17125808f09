/**
 * Matrices rounded once and left alone, with adapters beside them that learn in float: from zero (QLoRA, arXiv:2305.14314),
 * or from a decomposition of each matrix into a low-bit part and a product of low rank (LQ-LoRA, arXiv:2311.12023). The
 * adapters stay beside the codes in the file, in half precision.
 */
import type { NumberFormat } from '../formats/format.ts';
import type { Graph } from '../graph/graph.ts';
import { withMatrix, type Linear } from '../graph/linear.ts';
import { transpose } from '../numeric/matrix.ts';
import { encodeMatrix } from '../round/encode-matrix.ts';
import { decompose } from '../round/lq-decompose.ts';
import { quantizedWhole, sumOfSquares, type QuantizedMatrix } from '../round/quantized-matrix.ts';
import { addBranches } from '../transform/add-branch.ts';
import type { Adapter } from './adapters.ts';

export interface FrozenBase {
  /** The graph with what the codes decode to. */
  readonly graph: Graph;
  readonly weights: ReadonlyMap<string, QuantizedMatrix>;
  /** A and B of the stored matrix, where a decomposition left them. */
  start(id: string): { readonly a: Float32Array; readonly b: Float32Array } | undefined;
}

export interface FreezeOptions {
  readonly rank: number;
  /** Alternations of the decomposition; 0 rounds to nearest and starts adapters at zero. */
  readonly rounds: number;
}

export async function freezeBase(graph: Graph, sites: readonly Linear[], format: NumberFormat, { rank, rounds }: FreezeOptions): Promise<FrozenBase> {
  const weights = new Map<string, QuantizedMatrix>();
  const starts = new Map<string, { readonly a: Float32Array; readonly b: Float32Array }>();
  let next = graph;
  for (const site of sites) {
    const { id, rows, cols, transposed } = site;
    const values = await site.weightMatrix();
    const split = rounds === 0 ? undefined : decompose({ values, rows, cols, name: id }, format, Math.min(rank, rows, cols), { rounds, half: true });
    const quantized = split?.quantized ?? encodeMatrix(format, values, rows, cols, { name: id });
    weights.set(id, quantizedWhole(format, quantized, sumOfSquares(values)));
    next = withMatrix(next, site, format.decode(quantized));
    if (split !== undefined) {
      // The products of the decomposition are of the matrix [out, in]; the stored one may be its transpose.
      starts.set(id, transposed ? { a: transpose(split.right, split.rank, cols), b: transpose(split.left, rows, split.rank) } : { a: split.left, b: split.right });
    }
  }
  return { graph: next, weights, start: (id) => starts.get(id) };
}

/** A graph with trained adapters beside the matrices of these sites; `trained` holds A and B. The matrices themselves are zero: codes take their place. */
export function besideAdapters(graph: Graph, sites: readonly Linear[], adapters: readonly Adapter[], trained: (name: string) => Float32Array): Graph {
  const byId = new Map(adapters.map((adapter) => [adapter.id, adapter]));
  return addBranches(graph, sites.map((site) => {
    const { a, b, scale } = byId.get(site.id)!;
    const [A, B] = [trained(a), trained(b)];
    const { rows, cols, transposed } = site;
    const rank = A.length / (transposed ? cols : rows);
    const up = transposed ? transpose(B, rank, rows) : A;
    return { sites: [site], branch: { rank, down: transposed ? transpose(A, cols, rank) : B, ups: [up.map((value) => value * scale)] }, residuals: [new Float32Array(rows * cols)] };
  })).graph;
}
