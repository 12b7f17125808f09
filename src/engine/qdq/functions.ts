/** Operators of floats, their results rounded to float32: the interpreter's, and some whose bits are the same in every engine. */
import type { Node } from '../../graph/graph.ts';
import { label } from '../../graph/traverse.ts';
import { exp } from '../../numeric/elementary.ts';
import { operators } from '../interpreter/operators.ts';
import { axisOf, sizeOf, type Value64 } from '../interpreter/value.ts';
import { callOf, errors } from './geometry.ts';
import { rounded } from './weights.ts';

const sigmoid = (x: Value64): Value64 => ({ ...x, data: x.data.map((value) => Math.fround(1 / (1 + exp(-value)))) });

/** Along one axis: e^(x − largest) over their sum. */
function softmax(x: Value64, node: Node): Value64 {
  const axis = axisOf(callOf(node, []).int('axis', -1), x.shape.length);
  const [count, apart] = [x.shape[axis], sizeOf(x.shape.slice(axis + 1))];
  const data = new Float64Array(x.data.length);
  for (let from = 0; from < data.length; from += count * apart) {
    for (let first = from; first < from + apart; first++) {
      const end = first + count * apart;
      let largest = -Infinity, sum = 0;
      for (let i = first; i < end; i += apart) largest = Math.max(largest, x.data[i]);
      for (let i = first; i < end; i += apart) sum += data[i] = exp(x.data[i] - largest);
      for (let i = first; i < end; i += apart) data[i] = Math.fround(data[i] / sum);
    }
  }
  return { ...x, data };
}

/** Sums over all positions in float32, in their order, divided by how many there are. */
function mean({ shape, data }: Value64): Value64 {
  const area = sizeOf(shape.slice(2));
  const means = Float64Array.from({ length: shape[0] * shape[1] }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < area; i++) sum = Math.fround(sum + data[row * area + i]);
    return Math.fround(sum / area);
  });
  return { type: 'f32', shape: [...shape.slice(0, 2), ...shape.slice(2).map(() => 1)], data: means };
}

/** By operator; the interpreter has all others. */
const functions: Readonly<Record<string, (x: Value64, node: Node) => Value64>> = { Sigmoid: sigmoid, Softmax: softmax, GlobalAveragePool: mean };

/** A float operator, its results rounded to float32. */
export async function otherOf(node: Node, inputs: readonly (Value64 | undefined)[]): Promise<readonly Value64[]> {
  const [x] = inputs;
  if (x?.type === 'f32' && node.domain === '' && Object.hasOwn(functions, node.op)) return [functions[node.op](x, node)];
  const op = node.domain === '' || node.domain === 'ai.onnx' ? node.op : `${node.domain}:${node.op}`;
  try {
    const made = await operators[op](callOf(node, inputs));
    return ('data' in made ? [made] : made).map(rounded);
  } catch (error) {
    if (error instanceof RangeError) throw errors.shape({ node: label(node), why: 'its result does not fit into memory' });
    throw error;
  }
}
