/**
 * A convolutional network in integers on our own kernels: no ONNX Runtime, the same integers everywhere. Files are those that
 * `--recipe hawqv3-int8` writes, in integers alone, and those in the QuantizeLinear/DequantizeLinear form, such as static int8.
 */
import { executeIntegers, type IntegerTensor } from '../engine/integer/execute.ts';
import { isQdq } from '../engine/qdq/read.ts';
import { readIntegerNetwork } from '../engine/integer/read.ts';
import { Call } from '../engine/interpreter/call.ts';
import { operators } from '../engine/interpreter/operators.ts';
import { readValue } from '../engine/interpreter/types.ts';
import { sizeOf, type Value64 } from '../engine/interpreter/value.ts';
import { integerKernels } from '../engine/kernels/integer.ts';
import type { Team } from '../engine/kernels/lowbit-team.ts';
import type { Feeds } from '../engine/session.ts';
import { f32, type Tensor } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import { openOnnx } from '../files/onnx.ts';
import { memorySource } from '../files/source.ts';
import type { Graph } from '../graph/graph.ts';
import { label } from '../graph/traverse.ts';
import { qdqModel } from './qdq-model.ts';

const errors = defineErrors('integerModel', {
  tail: (f: { node: string; op: string }) => `node ${f.node}: ${f.op} behind the integer layers is not run here`,
});

export interface IntegerModel {
  readonly inputs: Graph['inputs'];
  readonly outputs: Graph['outputs'];
  /** Outputs by name, for float32 inputs. */
  run(feeds: Feeds): Promise<Record<string, Tensor>>;
  /** Ends the threads, if there are any. */
  dispose(): void;
}

export interface IntegerModelOptions {
  /** Threads that share the products of files in QDQ form; those in integers alone have one. */
  readonly team?: Team;
}

/** Opens the bytes of a written file. */
export async function openIntegerModel(bytes: Uint8Array, name = 'model.onnx', options: IntegerModelOptions = {}): Promise<IntegerModel> {
  return openIntegerGraph(await openOnnx(memorySource(name, bytes)), options);
}

/** The same for a graph. */
export const openIntegerGraph = async (graph: Graph, options: IntegerModelOptions = {}): Promise<IntegerModel> => (isQdq(graph) ? qdqModel(graph, options) : integerModel(graph));

/** In integers alone. Nodes behind the last layer are computed in float64 and rounded once. */
async function integerModel(graph: Graph): Promise<IntegerModel> {
  const network = await readIntegerNetwork(graph);
  for (const node of network.tail) if (operators[node.op] === undefined) throw errors.tail({ node: label(node), op: node.op });
  const names = [...new Set(network.tail.flatMap(({ inputs }) => inputs))].filter((name) => graph.weights.has(name));
  const constants = new Map(await Promise.all(names.map(async (name): Promise<[string, Value64]> => [name, await readValue(graph.weights.get(name)!)])));
  const kernels = integerKernels();
  return {
    inputs: graph.inputs, outputs: graph.outputs, dispose: () => undefined,
    async run(feeds) {
      const integers = await executeIntegers(network, feeds, kernels);
      const known = new Map(constants);
      for (const op of network.ops) {
        if (op.op !== 'dequantize') continue;
        const { scales, trailing } = network.values.get(op.input)!;
        known.set(op.output, real(integers.get(op.input)!, scales, trailing));
      }
      for (const node of network.tail) {
        const made = await operators[node.op](new Call(node, node.inputs.map((name) => known.get(name)), () => { throw errors.tail({ node: label(node), op: node.op }); }));
        ('data' in made ? [made] : made).forEach((value, i) => known.set(node.outputs[i], value));
      }
      return Object.fromEntries(graph.outputs.map(({ name }) => [name, f32(known.get(name)!.shape, Float32Array.from(known.get(name)!.data))]));
    },
  };
}

/** Codes times their scales, rounded to float32. */
function real({ shape, data }: IntegerTensor, scales: Float64Array, trailing: number): Value64 {
  const behind = sizeOf(shape.slice(shape.length - trailing));
  return { type: 'f32', shape, data: Float64Array.from(data, (code, i) => Math.fround(code * scales[Math.floor(i / behind) % scales.length])) };
}
