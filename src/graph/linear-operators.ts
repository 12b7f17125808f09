/** QLinearConv, QLinearMatMul and QGemm as the float operator between quantization nodes: the same numbers, and one form to look at. */
import { int } from './build.ts';
import type { Graph, Node } from './graph.ts';
import { makeNode, replaceNodes } from './rewrite.ts';
import { upgradeOpset } from './upgrade.ts';

const quantized = new Set([' QLinearConv', ' QLinearMatMul', 'com.microsoft QGemm']);
const isQuantized = ({ domain, op }: Node): boolean => quantized.has(`${domain} ${op}`);

/** The same graph where it has none. */
export async function withFloatOperators(graph: Graph): Promise<Graph> {
  if (!graph.nodes.some(isQuantized)) return graph;
  // Scales per channel came with operator set 13.
  const modern = (graph.opset.get('') ?? 21) < 13 ? await upgradeOpset(graph, 13) : graph;
  return replaceNodes(modern, (node, _view, fresh) => {
    if (!isQuantized(node)) return undefined;
    const isConv = node.op === 'QLinearConv';
    const isGemm = node.op === 'QGemm';
    const [x, xScale, xZero, w, wScale, wZero, ...rest] = node.inputs;
    const [yScale = '', yZero = '', bias = ''] = isGemm ? [rest[1], rest[2], rest[0]] : rest;
    const nodes: Node[] = [];
    const make = (op: string, inputs: readonly string[], attributes: Node['attributes'] = {}): string => {
      const output = fresh(`${node.outputs[0]}_${op}`);
      nodes.push(makeNode(op, inputs, [output], { name: output, attributes }));
      return output;
    };
    const input = make('DequantizeLinear', [x, xScale, xZero]);
    const weight = make('DequantizeLinear', [w, wScale, wZero], { axis: int(isConv || (isGemm && node.attributes.transB?.kind === 'int' && node.attributes.transB.value === 1) ? 0 : 1) });
    const added = bias === '' ? [] : [make('Mul', [make('Cast', [bias], { to: int(1) }), make('Mul', [xScale, wScale])])];
    const product = make(isConv ? 'Conv' : isGemm ? 'Gemm' : 'MatMul', [input, weight, ...added], isConv || isGemm ? node.attributes : {});
    return [...nodes, makeNode(yScale === '' ? 'Identity' : 'QuantizeLinear', yScale === '' ? [product] : [product, yScale, yZero], node.outputs, { name: node.name })];
  });
}
