/** What ONNX Runtime's Node and web packages have in common, seen through the project's tensors. */
import type { ElementType } from '../tensor-ref.ts';
import type { ValueInfo } from '../graph/graph.ts';
import { defineErrors } from '../errors.ts';
import type { Feeds, Session } from './session.ts';
import type { Tensor, TensorData } from './tensor.ts';

/** The part of `onnxruntime-common` that both packages export and that we use. */
export interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
  dispose?(): void;
}
export interface OrtSession {
  readonly inputMetadata: readonly OrtMetadata[];
  readonly outputMetadata: readonly OrtMetadata[];
  run(feeds: Record<string, OrtTensor>, fetches?: readonly string[] | Record<string, OrtTensor | null>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}
export interface OrtMetadata {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type?: string;
  readonly shape?: readonly (number | string)[];
}
export type OrtTensorMaker = new (type: string, data: TensorData, dims: readonly number[]) => OrtTensor;

const toOrt: Partial<Record<ElementType, string>> = {
  f32: 'float32', f64: 'float64', f16: 'float16', i8: 'int8', u8: 'uint8', i16: 'int16', u16: 'uint16',
  i32: 'int32', u32: 'uint32', i64: 'int64', u64: 'uint64', bool: 'bool', i4: 'int4', u4: 'uint4',
};
const fromOrt = new Map(Object.entries(toOrt).map(([ours, theirs]) => [theirs, ours as ElementType]));

const errors = defineErrors('engine', {
  unsupportedType: (f: { type: string; value: string }) => `value ${f.value}: the engine has no tensors of type ${f.type}`,
  notLoaded: (f: { model: string; reason: string }) => `${f.model} does not load: ${f.reason}`,
  notRun: (f: { reason: string }) => `the model does not run: ${f.reason}`,
  missingInput: (f: { name: string }) => `input ${f.name} was not fed`,
});

/** First line of an engine message, with the dimensions that it lists below; without source positions and stack. */
export function engineReason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const [first = text, ...rest] = text.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  return [first, ...rest.filter((line) => line.startsWith('index: '))].join(', ').slice(0, 400);
}

export const notLoaded = (model: string, error: unknown) => errors.notLoaded({ model, reason: engineReason(error) });

function valueInfo(meta: OrtMetadata): ValueInfo {
  return {
    name: meta.name,
    type: meta.type === undefined ? undefined : fromOrt.get(meta.type) ?? (meta.type === 'string' ? 'string' : undefined),
    shape: meta.shape?.map((dim) => (typeof dim === 'number' && dim < 0 ? undefined : dim)),
  };
}

export interface WrapOptions {
  /** True for a runtime that writes outputs to arrays it is given; the web package does not. */
  readonly fills?: boolean;
}

/** Wraps an ONNX Runtime session; feeds are checked by name, results copied out of the engine's memory. */
export function wrapSession(session: OrtSession, OrtTensorClass: OrtTensorMaker, { fills = false }: WrapOptions = {}): Session {
  const inputs = session.inputMetadata.map(valueInfo);
  const outputs = session.outputMetadata.map(valueInfo);
  const toOrtTensor = (name: string, { type, data, shape }: Tensor): OrtTensor => {
    const theirs = toOrt[type];
    if (theirs === undefined) throw errors.unsupportedType({ type, value: name });
    return new OrtTensorClass(theirs, data, shape);
  };
  return {
    inputs,
    outputs,
    async run(feeds: Feeds, fetches, into) {
      const given: Record<string, OrtTensor> = {};
      for (const { name } of inputs) {
        if (feeds[name] === undefined) throw errors.missingInput({ name });
        given[name] = toOrtTensor(name, feeds[name]);
      }
      const filled = new Map(fills ? Object.entries(into ?? {}) : []);
      const placeOf = (name: string): OrtTensor | null => (filled.has(name) ? toOrtTensor(name, filled.get(name)!) : null);
      const wanted = filled.size === 0 ? fetches : Object.fromEntries((fetches ?? outputs.map(({ name }) => name)).map((name) => [name, placeOf(name)]));
      let results: Record<string, OrtTensor>;
      try {
        results = await (wanted === undefined ? session.run(given) : session.run(given, wanted));
      } catch (error) {
        throw errors.notRun({ reason: engineReason(error) });
      }
      const taken: Record<string, Tensor> = {};
      for (const [name, tensor] of Object.entries(results)) {
        const type = fromOrt.get(tensor.type);
        if (type === undefined) throw errors.unsupportedType({ type: tensor.type, value: name });
        taken[name] = filled.get(name) ?? { type, shape: [...tensor.dims], data: plainData(tensor.data) };
      }
      return taken;
    },
    dispose: () => session.release(),
  };
}

/** Newer runtimes hand out Float16Array; everywhere else f16 is a Uint16Array of bit patterns. */
function plainData(data: unknown): TensorData {
  const view = data as TensorData;
  if (view.constructor.name === 'Float16Array') return new Uint16Array(view.buffer, view.byteOffset, view.length);
  return view;
}
