/**
 * Products over a sequence whose first token never changes, such as the text's beginning in cross-attention (MixDQ,
 * arXiv:2405.17873, section 4.1): its row is worked out once and stored in float, the layer sees the other tokens only.
 */
import { defineErrors } from '../errors.ts';
import { int, int64Tensor } from '../graph/build.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { siteLabel, type Linear } from '../graph/linear.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { floatTensor, type TensorRef } from '../tensor-ref.ts';

const errors = defineErrors('first-token', {
  kind: (f: { site: string }) => `${f.site}: a first token is split off inputs [samples, tokens, channels] of MatMul`,
  width: (f: { site: string; cols: number; found: number }) => `${f.site}: the first token has ${f.found} channels, the layer reads ${f.cols}`,
});

export interface FirstToken {
  readonly graph: Graph;
  /** The stored row by weight id; it stays float. */
  readonly kept: ReadonlySet<string>;
}

/** The graph in which a MatMul over [samples, tokens, channels] reads tokens 1 …; the row of token 0, of these values, is stored. */
export async function precomputeFirstToken(graph: Graph, site: Linear, token: Float32Array): Promise<FirstToken> {
  const { id, rows, cols, input, output, node } = site;
  if (site.kind !== 'MatMul') throw errors.kind({ site: siteLabel(site) });
  if (token.length !== cols) throw errors.width({ site: siteLabel(site), cols, found: token.length });
  const matrix = await site.weightMatrix();
  const row = Float32Array.from({ length: rows }, (_, r) => {
    let sum = 0;
    for (let c = 0; c < cols; c++) sum += matrix[r * cols + c] * token[c];
    return sum;
  });
  const fresh = freshNames(graph);
  const added: Node[] = [];
  const tensors: TensorRef[] = [floatTensor(fresh(`${id}_first`), [1, 1, rows], row)];
  const op = (type: string, inputs: readonly string[], attributes: Node['attributes'] = {}, result = fresh(`${id}_${type}`)): string => {
    added.push(makeNode(type, inputs, [result], { name: result, attributes }));
    return result;
  };
  const ints = (values: readonly number[]): string => {
    const tensor = int64Tensor(fresh(`${id}_ints`), values);
    tensors.push(tensor);
    return tensor.name;
  };
  const [one, far] = [ints([1]), ints([2 ** 62])];
  const others = op('Slice', [input, one, far, one]);
  const product = fresh(`${id}_others`);
  // The same row for every sample.
  const shape = op('Concat', [op('Shape', [input], { start: int(0), end: int(1) }), ints([1, rows])], { axis: int(0) });
  op('Concat', [op('Expand', [tensors[0].name, shape]), product], { axis: int(1) }, output);
  const nodes = [...graph.nodes.map((other) => (other === node ? { ...node, inputs: [others, ...node.inputs.slice(1)], outputs: [product] } : other)), ...added];
  const next: Graph = { ...graph, nodes, weights: new Map([...graph.weights, ...tensors.map((tensor) => [tensor.name, tensor] as const)]) };
  return { graph: { ...next, nodes: sortNodes(next) }, kept: new Set([tensors[0].name]) };
}
