/** Float products of low rank beside layers of a graph: y = x·Rᵀ becomes y = x·Rᵀ + (x·Aᵀ)·Bᵀ; layers that share an input share x·Aᵀ. */
import { transpose } from '../numeric/matrix.ts';
import { int } from '../graph/build.ts';
import { onnxTypes } from '../graph/data-types.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { withMatrix, type Linear } from '../graph/linear.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { encodeNumbers, lazyTensor } from '../graph/values.ts';
import type { TensorRef } from '../tensor-ref.ts';
import type { Branch } from './low-rank.ts';

export interface BranchedLayers {
  /** MatMul or Gemm sites with one input, in the order of `branch.ups`. */
  readonly sites: readonly Linear[];
  readonly branch: Branch;
  /** What is left of each weight, [rows, cols]. */
  readonly residuals: readonly Float32Array[];
}

export interface Branched {
  readonly graph: Graph;
  /** Weights by id of the branches; they stay float. */
  readonly kept: ReadonlySet<string>;
  /** Outputs of the layers by themselves, by the output with the branch, which keeps its name. */
  readonly bare: ReadonlyMap<string, string>;
}

/** Bits that branches take in a file. */
export const branchBits = (groups: readonly { readonly sites: readonly Linear[]; readonly branch: Pick<Branch, 'rank'> }[]): number =>
  groups.reduce((sum, { sites, branch: { rank } }) => sum + 16 * rank * (sites[0].cols + sites.reduce((rows, site) => rows + site.rows, 0)), 0);

export function addBranches(graph: Graph, groups: readonly BranchedLayers[]): Branched {
  const fresh = freshNames(graph);
  const added: Node[] = [];
  const tensors: TensorRef[] = [];
  const bare = new Map<string, string>();
  /** Branches are half-precision numbers already, and lie in the file as such. */
  const weight = (stem: string, shape: readonly number[], values: Float32Array): string => {
    const [name, whole] = [fresh(stem), fresh(`${stem}_float`)];
    tensors.push(lazyTensor(name, 'f16', shape, async () => encodeNumbers('f16', values)));
    added.push(makeNode('Cast', [name], [whole], { name: whole, attributes: { to: int(onnxTypes.f32) } }));
    return whole;
  };
  const product = (x: string, matrix: string, output: string): string => {
    added.push(makeNode('MatMul', [x, matrix], [output], { name: output }));
    return output;
  };
  let next = graph;
  for (const { sites, branch: { rank, down, ups }, residuals } of groups) {
    const [{ input, cols, id: first }] = sites;
    const low = product(input, weight(`${first}_down`, [cols, rank], transpose(down, rank, cols)), fresh(`${first}_low`));
    sites.forEach((site, i) => {
      const up = weight(`${site.id}_up`, [rank, site.rows], transpose(Float32Array.from(ups[i]), site.rows, rank));
      const alone = fresh(`${site.output}_bare`);
      added.push(makeNode('Add', [alone, product(low, up, fresh(`${site.id}_branch`))], [site.output], { name: fresh(`${site.output}_sum`) }));
      bare.set(site.output, alone);
      next = withMatrix(next, site, residuals[i]);
    });
  }
  const nodes = next.nodes.map((node) => (bare.has(node.outputs[0]) ? { ...node, outputs: [bare.get(node.outputs[0])!] } : node));
  const weights = new Map(next.weights);
  for (const tensor of tensors) weights.set(tensor.name, tensor);
  const made: Graph = { ...next, nodes: [...nodes, ...added], weights };
  return { graph: { ...made, nodes: sortNodes(made) }, kept: new Set(tensors.map(({ name }) => name)), bare };
}
