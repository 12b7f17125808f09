/**
 * Fits what a data set gives to what a session asks for: names, element types, and the extra inputs of
 * language models in the spelling of transformers.js folders (mask, positions, empty key/value cache).
 */
import { defineErrors } from '../errors.ts';
import type { ElementType } from '../tensor-ref.ts';
import type { Graph, ValueInfo } from '../graph/graph.ts';
import { i64, type Tensor, type TensorData } from '../engine/tensor.ts';
import type { Feeds, Session } from '../engine/session.ts';
import { f16ToF32, f32ToF16 } from '../numeric/half.ts';

const errors = defineErrors('feeds', {
  missing: (f: { input: string; given: string }) => `the model's input ${f.input} is not in the data (which has ${f.given})`,
  noConversion: (f: { input: string; from: string; to: string }) => `input ${f.input}: ${f.from} data do not convert to ${f.to}`,
  outOfRange: (f: { input: string; value: number; to: string }) => `input ${f.input}: the value ${f.value} does not fit into ${f.to}`,
  cacheShape: (f: { input: string; shape: string }) => `input ${f.input}: cache shape [${f.shape}] does not say heads and width`,
  noOutput: (f: { outputs: string }) => `the model has no output with numbers (outputs: ${f.outputs})`,
});

/** Feeds for every input of the session; a lone unnamed tensor goes to the lone input. */
export function bindFeeds(given: Feeds, inputs: readonly ValueInfo[]): Feeds {
  const names = Object.keys(given);
  const ids = given.input_ids;
  const bound: Record<string, Tensor> = {};
  for (const input of inputs) {
    const lone = names.length === 1 && inputs.length === 1 ? given[names[0]] : undefined;
    const tensor = given[input.name] ?? lone ?? (ids === undefined ? undefined : languageInput(input, ids));
    if (tensor === undefined) throw errors.missing({ input: input.name, given: names.join(', ') });
    bound[input.name] = asType(tensor, input);
  }
  return bound;
}

/** Inputs of decoder exports that follow from the token ids [batch, tokens]. */
function languageInput(input: ValueInfo, ids: Tensor): Tensor | undefined {
  const [batch, tokens] = ids.shape;
  const { name } = input;
  if (name === 'attention_mask') return i64([batch, tokens], new Array<number>(batch * tokens).fill(1));
  if (name === 'position_ids') return i64([batch, tokens], Array.from({ length: batch * tokens }, (_, i) => i % tokens));
  if (name === 'num_logits_to_keep') return i64([], [0]);
  if (name === 'use_cache_branch') return { type: 'bool', shape: [1], data: new Uint8Array(1) };
  if (!name.startsWith('past_')) return undefined;
  const shape = (input.shape ?? []).map((dim, axis) => (axis === 0 ? batch : typeof dim === 'number' ? dim : 0));
  if (shape.length < 3 || shape.filter((dim) => dim === 0).length !== 1) {
    throw errors.cacheShape({ input: name, shape: (input.shape ?? []).join(', ') });
  }
  return { type: 'f32', shape, data: new Float32Array(0) };
}

const floats: readonly ElementType[] = ['f32', 'f64', 'f16'];

function asType(tensor: Tensor, input: ValueInfo): Tensor {
  const to = input.type;
  if (to === undefined || to === tensor.type) return tensor;
  const fail = () => errors.noConversion({ input: input.name, from: tensor.type, to });
  if (to === 'string' || tensor.type === 'bf16' || to === 'bf16') throw fail();
  const integer = !floats.includes(tensor.type);
  // Fractions never become whole numbers silently.
  if (!integer && !floats.includes(to)) throw fail();
  const make = makers[to];
  if (make === undefined) throw fail();
  const values = numbersOf(tensor);
  const [low, high] = wholeRanges[to] ?? [-Infinity, Infinity];
  // Typed arrays would wrap what they cannot hold.
  for (let i = 0; i < values.length; i++) if (values[i] < low || values[i] > high) throw errors.outOfRange({ input: input.name, value: values[i], to });
  return { type: to, shape: tensor.shape, data: make(values) };
}

const wholeRanges: Partial<Record<ElementType, readonly [low: number, high: number]>> = { u8: [0, 255], i8: [-128, 127], i32: [-(2 ** 31), 2 ** 31 - 1] };

const makers: Partial<Record<ElementType, (values: ArrayLike<number>) => TensorData>> = {
  f32: (values) => Float32Array.from(values),
  f64: (values) => Float64Array.from(values),
  f16: (values) => Uint16Array.from(values, f32ToF16),
  i64: (values) => BigInt64Array.from(values, (value) => BigInt(value)),
  i32: (values) => Int32Array.from(values),
  u8: (values) => Uint8Array.from(values),
  i8: (values) => Int8Array.from(values),
  bool: (values) => Uint8Array.from(values, (value) => (value === 0 ? 0 : 1)),
};

/** A tensor's values as numbers; f32 and f64 without a copy. */
export function numbersOf(tensor: Tensor): ArrayLike<number> {
  if (tensor.type === 'f16') return Float32Array.from(tensor.data as Uint16Array, f16ToF32);
  if (tensor.data instanceof BigInt64Array || tensor.data instanceof BigUint64Array) return Array.from(tensor.data as BigInt64Array, Number);
  return tensor.data;
}

/** Samples the session takes at once: its fixed first dimension, or undefined when any number will do. */
export function fixedBatch(session: Pick<Session, 'inputs'> | Pick<Graph, 'inputs'>): number | undefined {
  for (const { shape } of session.inputs) {
    const first = shape?.[0];
    if (typeof first === 'number' && first > 0 && (shape?.length ?? 0) > 1) return first;
  }
  return undefined;
}

/** The output that a task judges: `logits` where there is one, else the first with numbers. */
export function mainOutput(session: Session): string {
  const numeric = session.outputs.filter(({ type }) => type !== 'string' && type !== undefined);
  const chosen = numeric.find(({ name }) => name === 'logits') ?? numeric.find(({ name }) => !name.startsWith('present')) ?? numeric[0];
  if (chosen === undefined) throw errors.noOutput({ outputs: session.outputs.map(({ name }) => name).join(', ') });
  return chosen.name;
}
