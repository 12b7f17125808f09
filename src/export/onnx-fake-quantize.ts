/**
 * Trained fake quantization as files hold it: weights become integer codes behind DequantizeLinear (int4 up to four
 * bits), activations QuantizeLinear and DequantizeLinear, cut to their range first where it is narrower than the type.
 */
import { packLowFirst } from '../formats/packing/bits.ts';
import { floatTensor, memoryTensor, type TensorRef } from '../tensor-ref.ts';
import { int } from '../graph/build.ts';
import { compositeDomain } from '../graph/composite.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { freshNames, makeNode, removeDeadNodes } from '../graph/rewrite.ts';
import { numberTensor, readFloats } from '../graph/values.ts';
import { rne } from '../numeric/rounding.ts';
import { smallestStep } from '../train/composites/fake-quantize.ts';

/** The graph with every FakeQuantize node written in standard operators whose weights are integers. */
export async function exportFakeQuantize(graph: Graph): Promise<Graph> {
  const fresh = freshNames(graph);
  const weights = new Map(graph.weights);
  const put = (tensor: TensorRef): string => { weights.set(tensor.name, tensor); return tensor.name; };
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    if (node.domain !== compositeDomain || node.op !== 'FakeQuantize') {
      nodes.push(node);
      continue;
    }
    const [x, scale] = node.inputs;
    const [output] = node.outputs;
    const [low, high] = [numberOf(node, 'low'), numberOf(node, 'high')];
    const steps = (await readFloats(graph.weights.get(scale)!)).map((step) => Math.max(step, smallestStep));
    const weight = graph.weights.get(x);
    if (weight !== undefined) {
      const { shape } = graph.weights.get(scale)!;
      const axis = Math.max(0, shape.findIndex((dim) => dim !== 1));
      const codes = put(await codesOf(weight, steps, axis, low, high, fresh(`${x}_codes`)));
      const scales = put(floatTensor(fresh(`${x}_scale`), [steps.length], steps));
      nodes.push(makeNode('DequantizeLinear', [codes, scales], [output], { name: output, attributes: { axis: int(axis) } }));
      continue;
    }
    const [step] = steps;
    const type = low < 0 ? 'i8' : 'u8';
    const [least, most] = low < 0 ? [-128, 127] : [0, 255];
    const stepName = put(floatTensor(fresh(`${output}_scale`), [], Float32Array.of(step)));
    const zero = put(numberTensor(fresh(`${output}_zero`), type, [], [0]));
    let value = x;
    if (low > least || high < most) {
      const bound = (limit: number, word: string): string => put(floatTensor(fresh(`${output}_${word}`), [], Float32Array.of(limit * step)));
      value = fresh(`${output}_cut`);
      nodes.push(makeNode('Clip', [x, bound(low, 'low'), bound(high, 'high')], [value], { name: value }));
    }
    const codes = fresh(`${output}_codes`);
    nodes.push(
      makeNode('QuantizeLinear', [value, stepName, zero], [codes], { name: codes }),
      makeNode('DequantizeLinear', [codes, stepName, zero], [output], { name: output }),
    );
  }
  const opset = new Map([...graph.opset].filter(([domain]) => domain !== compositeDomain));
  return removeDeadNodes({ ...graph, nodes, weights, opset });
}

const numberOf = (node: Node, name: string): number => Number(node.attributes[name]?.value ?? 0);

/** clip(round(w / s)) with one step per index of an axis, in the order of the weight. */
async function codesOf(weight: TensorRef, steps: Float32Array, axis: number, low: number, high: number, name: string): Promise<TensorRef> {
  const values = await readFloats(weight);
  const inner = weight.shape.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const codes = Float32Array.from(values, (value, i) => {
    const step = steps[steps.length === 1 ? 0 : Math.floor(i / inner) % steps.length];
    return Math.min(high, Math.max(low, rne(Math.fround(value / step))));
  });
  if (low >= -8 && high <= 7) return memoryTensor(name, 'i4', weight.shape, packLowFirst(codes, 4));
  return numberTensor(name, 'i8', weight.shape, codes);
}
