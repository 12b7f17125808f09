/** Runs an integer network: plainly, as the judge of what an engine makes of its exported form, or on kernels. */
import { defineErrors } from '../../errors.ts';
import type { Node } from '../../graph/graph.ts';
import { rne } from '../../numeric/rounding.ts';
import { Call } from '../interpreter/call.ts';
import { operators } from '../interpreter/operators.ts';
import { readValue } from '../interpreter/types.ts';
import { sizeOf, type Value64 } from '../interpreter/value.ts';
import { windowsOf } from '../interpreter/windows.ts';
import type { Feeds } from '../session.ts';
import type { IntegerNetwork, IntegerOp, IntegerWeight } from './network.ts';
import { plainIntegers, type IntegerKernels, type IntegerTensor } from './products.ts';

export type { IntegerTensor } from './products.ts';

const errors = defineErrors('integer', {
  body: ({ node }: { node: string }) => `node ${node}: a body cannot be run in integers`,
  notFed: ({ name }: { name: string }) => `input ${name} was not fed as float32`,
});

/** Every integer value of the network for these inputs, by name. */
export async function executeIntegers({ ops, values, source }: IntegerNetwork, feeds: Feeds, kernels: IntegerKernels = plainIntegers): Promise<Map<string, IntegerTensor>> {
  const known = new Map<string, IntegerTensor>();
  const constants = new Map<string, Value64>();
  const constant = async (name: string): Promise<Value64> => {
    const found = constants.get(name) ?? await readValue(source.weights.get(name)!);
    constants.set(name, found);
    return found;
  };
  for (const one of ops) {
    switch (one.op) {
      case 'quantize': {
        const x = feeds[one.input];
        if (x?.type !== 'f32') throw errors.notFed({ name: one.input });
        const { low, high } = values.get(one.output)!;
        const data = new Int32Array(x.data.length);
        (x.data as Float32Array).forEach((value, i) => { data[i] = Math.min(high, Math.max(low, rne(Math.fround(value / one.scale)))); });
        known.set(one.output, { shape: x.shape, data });
        break;
      }
      case 'products': {
        const { low, high } = values.get(one.input)!;
        known.set(one.output, products(one, known.get(one.input)!, kernels.fits(low, high) ? kernels : plainIntegers));
        break;
      }
      case 'rescale': {
        const x = known.get(one.input)!;
        const { low, high } = values.get(one.output)!;
        // One factor serves all.
        const behind = one.factors.length === 1 ? x.data.length : sizeOf(x.shape.slice(x.shape.length - values.get(one.input)!.trailing));
        known.set(one.output, kernels.rescale(x, one.factors, behind, low, high));
        break;
      }
      case 'add': {
        const [a, b] = one.inputs.map((name) => known.get(name)!);
        const { low, high } = values.get(one.output)!;
        known.set(one.output, { shape: a.shape, data: a.data.map((code, i) => Math.min(high, Math.max(low, code + b.data[i]))) });
        break;
      }
      case 'sum': known.set(one.output, summed(one.node, known.get(one.input)!)); break;
      case 'move': {
        const inputs = await Promise.all(one.node.inputs.map(async (name, i): Promise<Value64 | undefined> =>
          (name === '' ? undefined : i < one.inputs.length ? doubles(known.get(one.inputs[i])!) : constant(name))));
        const moved = await operators[one.node.op](callOf(one.node, inputs));
        ('data' in moved ? [moved] : moved).slice(0, one.outputs.length).forEach(({ shape, data }, i) => known.set(one.outputs[i], { shape, data: Int32Array.from(data) }));
        break;
      }
      case 'dequantize': break;
    }
  }
  return known;
}

const doubles = ({ shape, data }: IntegerTensor): Value64 => ({ type: 'f32', shape, data: Float64Array.from(data) });
const callOf = (node: Node, inputs: readonly (Value64 | undefined)[]): Call => new Call(node, inputs, () => { throw errors.body({ node: node.name }); });

function products({ node, weight }: Extract<IntegerOp, { op: 'products' }>, x: IntegerTensor, kernels: IntegerKernels): IntegerTensor {
  const sums = node.op === 'Conv' ? convolved(node, weight, x, kernels) : multiplied(node, weight, x, kernels);
  if (weight.bias === undefined) return sums;
  const { bias } = weight;
  const behind = node.op === 'Conv' ? sizeOf(sums.shape.slice(2)) : 1;
  for (let from = 0, row = 0; from < sums.data.length; from += behind, row++) {
    for (let i = from; i < from + behind; i++) sums.data[i] += bias[row % bias.length];
  }
  return sums;
}

/** One spatial axis is computed as two, the first of length 1. */
function convolved(node: Node, { shape, codes }: IntegerWeight, x: IntegerTensor, kernels: IntegerKernels): IntegerTensor {
  const call = callOf(node, []);
  const spatial = x.shape.slice(2);
  const given = windowsOf(call, spatial, shape.slice(2));
  const line = spatial.length === 1;
  const windows = !line ? given : {
    kernel: [1, ...given.kernel], strides: [1, ...given.strides], dilations: [1, ...given.dilations], begin: [0, ...given.begin], end: [0, ...given.end], out: [1, ...given.out],
  };
  const sums = kernels.convolve(line ? { ...x, shape: [...x.shape.slice(0, 2), 1, ...spatial] } : x, codes, shape[0], call.int('group', 1), windows);
  return line ? { ...sums, shape: [...sums.shape.slice(0, 2), ...given.out] } : sums;
}

function multiplied(node: Node, { shape, codes }: IntegerWeight, x: IntegerTensor, kernels: IntegerKernels): IntegerTensor {
  const transposed = node.op === 'MatMul' || !callOf(node, []).flag('transB');
  return kernels.multiply(x, codes, transposed ? shape[1] : shape[0], transposed);
}

/** GlobalAveragePool and ReduceMean sum over the positions, AveragePool over its windows; padding adds nothing. */
function summed(node: Node, x: IntegerTensor): IntegerTensor {
  const [n, channels, ...spatial] = x.shape;
  if (node.op === 'AveragePool') {
    const call = callOf(node, []);
    const windows = windowsOf(call, spatial, call.ints('kernel_shape')!);
    const ones = new Int8Array(sizeOf(windows.kernel)).fill(1);
    const planes = plainIntegers.convolve({ shape: [n * channels, 1, ...spatial], data: x.data }, ones, 1, 1, windows);
    return { shape: [n, channels, ...windows.out], data: planes.data };
  }
  const area = sizeOf(spatial);
  const data = new Int32Array(n * channels);
  for (let i = 0; i < x.data.length; i++) data[Math.floor(i / area)] += x.data[i];
  const kept = node.op === 'GlobalAveragePool' || callOf(node, []).flag('keepdims', true);
  return { shape: kept ? [n, channels, ...spatial.map(() => 1)] : [n, channels], data };
}
