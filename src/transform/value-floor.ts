/** The smallest value that an element-wise function of one value can take, found by evaluating it: GELU in whatever operators it was exported. */
import { interpret } from '../engine/interpreter/interpret.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { producers } from '../graph/traverse.ts';

const elementwise = new Set(['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Abs', 'Pow', 'Sqrt', 'Exp', 'Erf', 'Tanh', 'Sigmoid', 'Softplus', 'Relu', 'Gelu', 'HardSigmoid', 'HardSwish', 'Clip', 'Min', 'Max', 'Identity']);

/** Operators that are looked through: a GELU takes nine. */
const deepest = 16;
/** Arguments at which functions are evaluated: −64 … 64, 1/128 apart. */
const [reach, apart] = [64, 1 / 128];

/** Undefined where the value is no function of one other value that has a floor above `−limit`. */
export async function valueFloor(graph: Graph, value: string, limit: number): Promise<number | undefined> {
  const made = producers(graph);
  const order = new Map(graph.nodes.map((node, i) => [node, i]));
  const isConstant = (name: string): boolean => { const weight = graph.weights.get(name); return weight !== undefined && weight.shape.every((dim) => dim === 1); };
  const nodes: Node[] = [];
  const leaves = new Set([value]);
  while (nodes.length < deepest) {
    // The latest leaf cannot be needed by another one.
    const next = [...leaves].map((name) => made.get(name)).reduce((a, b) => (a !== undefined && (b === undefined || order.get(a)! > order.get(b)!) ? a : b), undefined);
    if (next === undefined || next.domain !== '' || !elementwise.has(next.op)) return undefined;
    nodes.unshift(next);
    leaves.delete(next.outputs[0]);
    for (const input of next.inputs) if (input !== '' && !isConstant(input)) leaves.add(input);
    if (leaves.size !== 1) continue;
    const [leaf] = leaves;
    if (graph.weights.has(leaf)) return undefined;
    const floor = await smallest({ ...graph, nodes, inputs: [{ name: leaf, type: 'f32', shape: undefined }], outputs: [{ name: value, type: 'f32', shape: undefined }] }, leaf, value);
    if (floor >= -limit) return floor;
  }
  return undefined;
}

async function smallest(graph: Graph, input: string, output: string): Promise<number> {
  const count = (2 * reach) / apart + 1;
  const data = Float64Array.from({ length: count }, (_, i) => i * apart - reach);
  const { [output]: result } = await interpret(graph, { [input]: { type: 'f32', shape: [count], data } });
  return (result.data as Float64Array).reduce((a, b) => Math.min(a, b), Infinity);
}
