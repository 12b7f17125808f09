/**
 * Smoothing through a gate: y · SiLU(z) is divided by factors per channel by dividing z and giving SiLU the factors,
 * SiLU(s·z') = s · z'·sigmoid(s·z') (S-SiLU of MambaQuant, arXiv:2501.13484, section 4.2); the output projection takes
 * them into its columns. Between gate and projection nothing may stand, as in Mamba-1.
 */
import type { Graph } from '../graph/graph.ts';
import { linearSites, withMatrix } from '../graph/linear.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { readFloats } from '../graph/values.ts';
import { floatTensor } from '../tensor-ref.ts';
import { mambaValue, type Mamba1Block } from './mamba-blocks.ts';

export async function smoothGate(graph: Graph, block: Mamba1Block, factors: Float32Array): Promise<Graph> {
  const { inProj, outProj, inner } = block;
  // Rows of x, then rows of z.
  const matrix = (await inProj.weightMatrix()).map((value, i) => { const row = Math.floor(i / inProj.cols); return row < inner ? value : value / factors[row - inner]; });
  let next = withMatrix(graph, inProj, matrix);
  const out = linearSites(next).find(({ id }) => id === outProj.id)!;
  next = withMatrix(next, out, (await out.weightMatrix()).map((value, i) => value * factors[i % inner]));
  const weights = new Map(next.weights);
  if (inProj.bias !== undefined) {
    const bias = weights.get(inProj.bias.name)!;
    weights.set(bias.name, floatTensor(bias.name, bias.shape, (await readFloats(bias)).map((value, row) => (row < inner ? value : value / factors[row - inner]))));
  }
  const z = mambaValue(block, 'z');
  const fresh = freshNames(next);
  const [name, grown] = [fresh(`${z}_factors`), fresh(`${z}_grown`)];
  weights.set(name, floatTensor(name, [inner], factors));
  const nodes = [
    ...next.nodes.map((node) => (node.op === 'Sigmoid' && node.inputs[0] === z ? { ...node, inputs: [grown] } : node)),
    makeNode('Mul', [z, name], [grown], { name: grown }),
  ];
  const made = { ...next, nodes, weights };
  return { ...made, nodes: sortNodes(made) };
}
