/**
 * Holds gradient graphs against central differences of the float64 interpreter, which runs both graphs, and against
 * ONNX Runtime, which must load the gradient graph and agree to float32.
 */
import assert from 'node:assert/strict';
import { interpret, type Value64 } from '../../../src/engine/interpreter/interpret.ts';
import { ortNode } from '../../../src/engine/ort-node.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { onnxBytes } from '../../../src/files/onnx.ts';
import { floatTensor, type ElementType } from '../../../src/tensor-ref.ts';
import { GraphBuilder, int, ints } from '../../../src/graph/build.ts';
import { lower } from '../../../src/graph/composite.ts';
import { extend } from '../../../src/graph/extend.ts';
import { gradient, type GradientOptions } from '../../../src/graph/gradient/gradient.ts';
import type { Graph } from '../../../src/graph/graph.ts';
import { inferTypes } from '../../../src/graph/infer.ts';
import { viewOf } from '../../../src/graph/traverse.ts';
import { Random } from './random.ts';

/** A tensor to differentiate by: random in a range, away from zero unless `from` says otherwise; or given values. */
export interface Input {
  readonly shape: readonly number[];
  readonly from?: readonly [low: number, high: number];
  readonly values?: readonly number[];
  /** Default f32; others are fed and not differentiated. */
  readonly type?: ElementType;
  readonly isFixed?: boolean;
}

export interface Case {
  /** Row of the table of rules. */
  readonly rule: string;
  readonly name: string;
  readonly inputs: Readonly<Record<string, Input | readonly number[]>>;
  /** Writes the operator and returns what the loss weighs. */
  build(g: GraphBuilder): string | readonly string[];
  readonly opset?: number;
  /** Why ONNX Runtime cannot run it on the CPU. */
  readonly noEngine?: string;
  /** Why its second derivative is not right. */
  readonly noSecond?: string;
}

export const inputOf = (given: Input | readonly number[]): Input => ('shape' in given ? given : { shape: given });

/** Seeded values; without a range uniform in ±[0.1, 1], clear of kinks at zero. */
export function valueOf({ shape, from, values, type = 'f32' }: Input, random: Random): Value64 {
  const count = shape.reduce((a, b) => a * b, 1);
  const data = Float64Array.from({ length: count }, (_, i) => {
    if (values !== undefined) return values[i];
    const u = random.next();
    if (from !== undefined) return Math.fround(from[0] + u * (from[1] - from[0]));
    return Math.fround((u < 0.5 ? -1 : 1) * (0.1 + 0.9 * ((2 * u) % 1)));
  });
  return { type, shape, data };
}

/** The graph of a case with a loss: every result weighed by random constants and summed. */
async function lossGraph(item: Case): Promise<Graph> {
  const write = (shapes?: readonly (readonly number[])[]): Graph => {
    const g = new GraphBuilder('case', item.opset ?? 21);
    for (const [name, given] of Object.entries(item.inputs)) {
      const { shape, type = 'f32' } = inputOf(given);
      g.input(name, type, shape);
    }
    const made = item.build(g);
    const results = typeof made === 'string' ? [made] : made;
    if (shapes === undefined) {
      for (const result of results) g.output(result, `probe_${result}`);
      return g.graph();
    }
    const random = new Random(77);
    const sums = results.map((result, i) => {
      const weights = Float32Array.from({ length: shapes[i].reduce((a, b) => a * b, 1) }, () => random.next() * 2 - 1);
      return g.op('ReduceSum', [g.op('Mul', [result, g.weight(floatTensor('weights', shapes[i], weights))])], { keepdims: int(0) });
    });
    g.output(sums.length === 1 ? sums[0] : g.op('Sum', sums), 'loss');
    return g.graph();
  };
  const probed = await inferTypes(write());
  return write(probed.outputs.map(({ name, shape }) => {
    assert.ok(shape?.every((dim) => typeof dim === 'number'), `shape of ${name} is not inferred`);
    return shape as number[];
  }));
}

const outputsOf = (graph: Graph, names: readonly string[]): Graph => ({ ...graph, outputs: names.map((name) => ({ name, type: 'f32', shape: undefined })) });

const toTensor = ({ type, shape, data }: Value64): Tensor => {
  const arrays = { f32: Float32Array, i32: Int32Array, bool: Uint8Array } as const;
  if (type === 'i64') return { type, shape, data: BigInt64Array.from(data, BigInt) };
  return { type, shape, data: arrays[type as keyof typeof arrays].from(data) };
};

/** Gradients of `loss` by the interpreter and by ONNX Runtime. */
export async function gradients(graph: Graph, loss: string, wrt: readonly string[], feeds: Readonly<Record<string, Value64>>, options: GradientOptions & { readonly engine?: boolean } = {}) {
  const made = await gradient(graph, loss, wrt, options);
  const names = wrt.map((name) => made.gradients.get(name)!);
  const lowered = lower(outputsOf(made.graph, [...new Set(names)]), options.composites);
  const exact = await interpret(lowered, feeds);
  const byName = (found: Readonly<Record<string, { readonly data: ArrayLike<number | bigint>; readonly shape: readonly number[] }>>) =>
    new Map(wrt.map((name, i) => [name, found[names[i]]]));
  if (options.engine === false) return { exact: byName(exact) };
  const session = await ortNode.open({ bytes: await onnxBytes(lowered) });
  try {
    const engine = await session.run(Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, toTensor(value)])));
    return { exact: byName(exact), engine: byName(engine as never) };
  } finally {
    await session.dispose();
  }
}

/** d loss / d value by central differences, for each element. */
export async function differences(graph: Graph, loss: string, name: string, feeds: Readonly<Record<string, Value64>>): Promise<number[]> {
  const { data } = feeds[name];
  const step = 1e-5;
  const only = lower(outputsOf(graph, [loss]));
  const at = async (index: number, value: number): Promise<number> => {
    const moved = data.slice();
    moved[index] = value;
    return (await interpret(only, { ...feeds, [name]: { ...feeds[name], data: moved } }))[loss].data[0];
  };
  const slopes: number[] = [];
  for (let i = 0; i < data.length; i++) slopes.push((await at(i, data[i] + step) - await at(i, data[i] - step)) / (2 * step));
  return slopes;
}

/** Relative to the largest of both, floored at one thousandth: |a − b| ≤ tolerance · scale. */
export function assertClose(found: ArrayLike<number | bigint>, wanted: ArrayLike<number | bigint>, tolerance: number, what: string): void {
  assert.equal(found.length, wanted.length, `${what}: length`);
  const scale = Math.max(1e-3, ...Array.from(wanted, (x) => Math.abs(Number(x))));
  for (let i = 0; i < found.length; i++) {
    const apart = Math.abs(Number(found[i]) - Number(wanted[i]));
    assert.ok(apart <= tolerance * scale, `${what}[${i}]: ${found[i]} instead of ${wanted[i]} (largest ${scale})`);
  }
}

const feedsOf = (item: Case): Record<string, Value64> => {
  const random = new Random(11);
  return Object.fromEntries(Object.entries(item.inputs).map(([name, given]) => [name, valueOf(inputOf(given), random)]));
};
const differentiable = (item: Case): string[] => Object.entries(item.inputs)
  .filter(([, given]) => { const { type = 'f32', isFixed = false } = inputOf(given); return type === 'f32' && !isFixed; })
  .map(([name]) => name);

/** Gradients of all float inputs against differences, their shapes, and the engine. */
export async function check(item: Case): Promise<void> {
  const graph = await lossGraph(item);
  const feeds = feedsOf(item);
  const wrt = differentiable(item);
  const { exact, engine } = await gradients(graph, 'loss', wrt, feeds, { engine: item.noEngine === undefined });
  for (const name of wrt) {
    assert.deepEqual(exact.get(name)!.shape, feeds[name].shape, `${name}: shape of its gradient`);
    assertClose(exact.get(name)!.data, await differences(graph, 'loss', name, feeds), 1e-6, `d loss / d ${name}`);
    if (engine !== undefined) assertClose(engine.get(name)!.data, exact.get(name)!.data, 2e-5, `engine's d loss / d ${name}`);
  }
}

/** The graph of loss and gradient with the product of each gradient and a constant direction, summed to `product`. */
export async function directional(graph: Graph, loss: string, wrt: readonly string[], seed: number, options: GradientOptions = {}): Promise<Graph> {
  const made = await gradient(graph, loss, wrt, options);
  const typed = await inferTypes(outputsOf(made.graph, [...new Set(made.gradients.values())]));
  const random = new Random(seed);
  return extend(typed, (tape) => {
    const parts = wrt.map((name) => {
      const value = made.gradients.get(name)!;
      const shape = viewOf(typed).info(value)!.shape as number[];
      const direction = tape.weight(floatTensor('direction', shape, random.floats(shape.reduce((a, b) => a * b, 1))));
      return tape.op('ReduceSum', [tape.op('Mul', [value, direction])], { keepdims: int(0) });
    });
    return tape.named(parts.length === 1 ? 'Identity' : 'Sum', parts, 'product');
  }).graph;
}

/** The gradient of the gradient: products with a direction, differentiated again, for every input they depend on. */
export async function checkTwice(item: Case): Promise<void> {
  const feeds = feedsOf(item);
  const graph = outputsOf(await directional(await lossGraph(item), 'loss', differentiable(item), 5), ['product']);
  for (const name of differentiable(item)) {
    try {
      await gradient(graph, 'product', [name]);
    } catch (error) {
      if ((error as { code?: string }).code === 'gradient.unused') continue;
      throw error;
    }
    const { exact, engine } = await gradients(graph, 'product', [name], feeds, { engine: item.noEngine === undefined });
    assertClose(exact.get(name)!.data, await differences(graph, 'product', name, feeds), 2e-6, `second derivative to ${name}`);
    if (engine !== undefined) assertClose(engine.get(name)!.data, exact.get(name)!.data, 1e-4, `engine's second derivative to ${name}`);
  }
}

export { int, ints };
