/** One-node graphs run by the interpreter and by ONNX Runtime over the same inputs. */
import assert from 'node:assert/strict';
import { interpret, type Value64 } from '../../../src/engine/interpreter/interpret.ts';
import { readValue } from '../../../src/engine/interpreter/types.ts';
import { ortNode } from '../../../src/engine/ort-node.ts';
import type { Feeds } from '../../../src/engine/session.ts';
import type { Tensor, TensorData } from '../../../src/engine/tensor.ts';
import { onnxBytes } from '../../../src/files/onnx.ts';
import { elementCount, memoryTensor, type ElementType } from '../../../src/tensor-ref.ts';
import { float, floats, GraphBuilder, int, ints, string } from '../../../src/graph/build.ts';
import type { Attribute, Graph } from '../../../src/graph/graph.ts';
import { encodeNumbers, numberTensor } from '../../../src/graph/values.ts';
import { uniform } from '../../../src/numeric/random.ts';

/** Values of a type, as both engines can hold them exactly. */
export const value = (type: ElementType, shape: readonly number[], elements: ArrayLike<number>): Value64 =>
  ({ type, shape, data: Float64Array.from(elements, type === 'f32' ? Math.fround : Number) });

let stream = 0;
/** Uniform float32 values; every call of a test file draws others, the same in every run. */
export function random(shape: readonly number[], low = -2, high = 2): Value64 {
  const own = stream++;
  return value('f32', shape, Array.from({ length: elementCount(shape) }, (_, i) => low + (high - low) * uniform(7, own, i)));
}
/** Uniform integers from low to high, both included. */
export function randomIntegers(type: ElementType, shape: readonly number[], low: number, high: number): Value64 {
  const own = stream++;
  return value(type, shape, Array.from({ length: elementCount(shape) }, (_, i) => low + Math.floor((high - low + 1) * uniform(8, own, i))));
}
export const i64 = (...elements: number[]): Value64 => value('i64', [elements.length], elements);
export const f32 = (...elements: number[]): Value64 => value('f32', [elements.length], elements);
export const scalar = (type: ElementType, x: number): Value64 => value(type, [], [x]);

const arrays: Partial<Record<ElementType, new (buffer: ArrayBuffer) => TensorData>> = {
  f64: Float64Array, f32: Float32Array, f16: Uint16Array, i64: BigInt64Array, i32: Int32Array, i16: Int16Array, i8: Int8Array,
  u64: BigUint64Array, u32: Uint32Array, u16: Uint16Array, u8: Uint8Array, bool: Uint8Array,
};

export function toTensor({ type, shape, data }: Value64): Tensor {
  return { type, shape, data: new arrays[type]!(encodeNumbers(type as 'f32', data).buffer as ArrayBuffer) };
}
export const toValue = ({ type, shape, data }: Tensor): Promise<Value64> =>
  readValue(memoryTensor('result', type, shape, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)));

/** Floats within `tolerance` of the largest element, infinities and everything else exactly. */
export function close(actual: Value64, expected: Value64, tolerance: number, what: string): void {
  assert.equal(actual.type, expected.type, `${what}: type`);
  assert.deepEqual([...actual.shape], [...expected.shape], `${what}: shape`);
  const finite = [...expected.data].filter(Number.isFinite).map(Math.abs);
  const allowed = expected.type.startsWith('f') ? tolerance * Math.max(1e-3, ...finite) : 0;
  for (const [i, want] of expected.data.entries()) {
    const got = actual.data[i];
    if (Object.is(got, want) || got === want) continue;
    assert.ok(Math.abs(got - want) <= allowed, `${what}: element ${i} is ${got}, ONNX Runtime has ${want}`);
  }
}

export interface Options {
  readonly domain?: string;
  readonly opset?: number;
  /** How many outputs to ask for, or their names, empty where one is left out; default one. */
  readonly outputs?: number | readonly string[];
  /** Relative to the largest element; default 1e-5. */
  readonly tolerance?: number;
  /** Inputs that the engine wants as initializers. */
  readonly weights?: readonly number[];
}

type Plain = number | string | readonly number[] | Attribute;
/** Numbers that are no integers are floats; what cannot be told apart is given as an attribute. */
const attributeOf = (plain: Plain): Attribute => {
  if (typeof plain === 'string') return string(plain);
  if (typeof plain === 'number') return Number.isInteger(plain) ? int(plain) : float(plain);
  if (!Array.isArray(plain)) return plain as Attribute;
  return plain.every(Number.isInteger) ? ints(plain) : floats(plain);
};

/** Both engines over a graph; all outputs agree. */
export async function agree(graph: Graph, feeds: Readonly<Record<string, Value64>>, tolerance = 1e-5, what = graph.name): Promise<Record<string, Value64>> {
  const results = await interpret(graph, feeds);
  const outputs = graph.outputs.map((output) => ({ ...output, type: results[output.name].type, shape: undefined }));
  const session = await ortNode.open({ bytes: await onnxBytes({ ...graph, outputs }) }, { optimize: 'none' });
  try {
    const wanted = await session.run(Object.fromEntries(Object.entries(feeds).map(([name, fed]) => [name, toTensor(fed)])) as Feeds);
    for (const { name } of outputs) close(results[name], await toValue(wanted[name]), tolerance, `${what} ${name}`);
  } finally {
    await session.dispose();
  }
  return results;
}

/** A node of this operator gives the same in both engines. */
export async function same(op: string, inputs: readonly (Value64 | undefined)[], attributes: Readonly<Record<string, Plain>> = {}, options: Options = {}): Promise<void> {
  const { domain = '', opset = 21, outputs = 1, tolerance, weights = [] } = options;
  const g = new GraphBuilder(op, opset);
  const feeds: Record<string, Value64> = {};
  const names = inputs.map((given, i) => {
    if (given === undefined) return '';
    const name = `x${i}`;
    if (weights.includes(i)) return g.weight(numberTensor(name, given.type, given.shape, given.data));
    feeds[name] = given;
    return g.input(name, given.type, given.shape);
  });
  const made = Object.fromEntries(Object.entries(attributes).map(([name, plain]) => [name, attributeOf(plain)]));
  const results = g.op(op, names, made, { domain, outputs: typeof outputs === 'number' ? Array.from({ length: outputs }, (_, i) => `y${i}`) : outputs });
  for (const name of [results].flat()) if (name !== '') g.output(name);
  await agree(g.graph(), feeds, tolerance, `${op} ${JSON.stringify(attributes)}`);
}
