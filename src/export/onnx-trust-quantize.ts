/**
 * Networks trained on QuEST's grid as files hold them: weights are rotated once and become unsigned codes behind
 * DequantizeLinear and an Add of half a step, since the grid has no level at zero; activations are rotated by a MatMul
 * and quantized per token in standard operators.
 */
import { packLowFirst } from '../formats/packing/bits.ts';
import { elementTypes, floatTensor, memoryTensor, type TensorRef } from '../tensor-ref.ts';
import { int } from '../graph/build.ts';
import { compositeDomain, lower } from '../graph/composite.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { readFloats } from '../graph/values.ts';
import { hadamardTransform } from '../numeric/hadamard.ts';
import { transpose } from '../numeric/matrix.ts';
import { rne } from '../numeric/rounding.ts';
import { composites } from '../train/composites/index.ts';
import { smallestHalfRange, trustGrid } from '../train/composites/trust-quantize.ts';

const number = (node: Node, name: string): number => Number(node.attributes[name]?.value ?? 0);
const isComposite = (node: Node | undefined, op: string): node is Node => node?.domain === compositeDomain && node.op === op;

/** The graph with every TrustQuantize and BlockHadamard written in standard operators whose weights are integers. */
export async function exportTrustQuantize(graph: Graph): Promise<Graph> {
  const fresh = freshNames(graph);
  const makers = new Map(graph.nodes.map((node) => [node.outputs[0], node]));
  const weights = new Map(graph.weights);
  const put = (tensor: TensorRef): string => { weights.set(tensor.name, tensor); return tensor.name; };
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    const maker = makers.get(node.inputs[0]);
    const rotation = isComposite(maker, 'BlockHadamard') ? maker : undefined;
    const source = rotation?.inputs[0] ?? node.inputs[0];
    const weight = graph.weights.get(source);
    if (!isComposite(node, 'TrustQuantize') || weight === undefined) {
      nodes.push(node);
      continue;
    }
    const [output] = node.outputs;
    const across = number(node, 'axis') === 0;
    const [rows, cols] = across ? [weight.shape[1], weight.shape[0]] : weight.shape;
    const stored = await readFloats(weight);
    const matrix = across ? transpose(stored, cols, rows) : stored;
    const { codes, steps } = codesOf(rotation === undefined ? matrix : hadamardTransform(matrix, number(rotation, 'order')), rows, cols, node);
    const { levels, shift } = trustGrid(node);
    const type = levels <= 16 ? 'u4' : 'u8';
    const shape = (values: Float32Array): Float32Array => (across ? transpose(values, rows, cols) : values);
    const zeros = Float32Array.from({ length: rows }, () => Math.floor(levels / 2));
    const scale = put(floatTensor(fresh(`${source}_step`), [rows], steps));
    const inputs = [put(unsigned(fresh(`${source}_codes`), type, weight.shape, shape(codes))), scale, put(unsigned(fresh(`${source}_zero`), type, [rows], zeros))];
    const whole = shift === 0 ? output : fresh(`${output}_whole`);
    nodes.push(makeNode('DequantizeLinear', inputs, [whole], { name: whole, attributes: { axis: int(across ? 1 : 0) } }));
    if (shift === 0) continue;
    const half = put(floatTensor(fresh(`${source}_half_step`), across ? [1, rows] : [rows, 1], steps.map((step) => step / 2)));
    nodes.push(makeNode('Add', [whole, half], [output], { name: output }));
  }
  return lower({ ...graph, nodes, weights }, composites);
}

/** Codes 0 … levels − 1 and the step of every row. */
function codesOf(matrix: Float32Array, rows: number, cols: number, node: Node): { readonly codes: Float32Array; readonly steps: Float32Array } {
  const { levels, shift, low, high } = trustGrid(node);
  const alpha = number(node, 'alpha');
  const isAbsmax = node.attributes.range?.value === 'absmax';
  const codes = new Float32Array(matrix.length);
  const steps = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const values = matrix.subarray(row * cols, (row + 1) * cols);
    const size = isAbsmax ? values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) : Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / cols);
    const step = Math.fround(((alpha * size + smallestHalfRange) * 2) / (levels - 1));
    steps[row] = step;
    values.forEach((value, i) => { codes[row * cols + i] = Math.min(high, Math.max(low, rne(Math.fround(value / step) + shift))) - low; });
  }
  return { codes, steps };
}

/** Whole numbers as bytes, or two to a byte. */
const unsigned = (name: string, type: 'u4' | 'u8', shape: readonly number[], values: Float32Array): TensorRef =>
  memoryTensor(name, type, shape, packLowFirst(values, elementTypes[type].bits));
