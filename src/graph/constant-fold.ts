/**
 * What can be computed before the first input arrives. Movements of weights (Reshape, Transpose, Cast, Concat) stay
 * promises and are made when the weight is read; small arithmetic is done at once. Results are those of the operators,
 * bit for bit: only moves, exact integers, and single correctly rounded float32 steps.
 */
import { elementCount, elementTypes, isBlockType, memoryTensor, type ElementType, type TensorRef } from '../tensor-ref.ts';
import { intOf } from './attributes.ts';
import { renamed } from './build.ts';
import { elementTypeOf } from './data-types.ts';
import type { Graph, Node } from './graph.ts';
import { inferContents, inferTypes } from './infer.ts';
import { broadcast, reshaped } from './infer-dims.ts';
import { mapBodies, redirectUses, removeDeadNodes, renameValues } from './rewrite.ts';
import { viewOf } from './traverse.ts';
import { encodeNumbers, isFloatType, isNumberType, lazyTensor, numberTensor, readFloats, readNumbers } from './values.ts';

/** Arithmetic is done on tensors of up to this many elements; larger ones stay with the engine. */
const smallCount = 4096;
/** Chains of movements read what they move: a result may cost this many times its own size, far more than exporters leave. */
const costLimit = 64;

/** Bytes that reading a folded tensor takes, movements before it included; of other tensors, their size. */
const costs = new WeakMap<TensorRef, number>();
const costOf = (tensor: TensorRef): number => costs.get(tensor) ?? tensor.byteLength;

/**
 * Folds constant subgraphs, removes Identity, inference-time Dropout and casts to the same type, and drops what
 * nothing uses any more. Types and shapes are noted on the result.
 */
export async function foldConstants(graph: Graph): Promise<Graph> {
  const typed = await inferTypes(graph);
  const contents = await inferContents(typed);
  const outputs = new Set(typed.outputs.map((output) => output.name));
  const weights = new Map(typed.weights);
  // Casts make a weight up to eight times as large; nothing that is moved becomes more than all weights together.
  const mostBytes = 8 * [...weights.values()].reduce((sum, weight) => sum + weight.byteLength, 0);
  const nodes: Node[] = [];
  for (const node of typed.nodes) {
    const [output] = node.outputs;
    const made = outputs.has(output) || node.outputs.length !== 1 ? undefined : await constantResult(node, output, weights, typed, contents, mostBytes);
    if (made === undefined) nodes.push(node);
    else weights.set(output, made);
  }
  const values = new Map([...typed.values].filter(([name]) => !weights.has(name)));
  return removeDeadNodes(await removeIdentities({ ...typed, nodes, weights, values }));
}

/** The tensor that a node makes, when that is known before running. */
async function constantResult(
  node: Node, name: string, weights: ReadonlyMap<string, TensorRef>, graph: Graph, contents: Awaited<ReturnType<typeof inferContents>>, mostBytes: number,
): Promise<TensorRef | undefined> {
  if (node.domain !== '') return undefined;
  const followed = contents.get(name);
  if (followed !== undefined) return numberTensor(name, followed.type as ElementType, followed.shape!.length === 0 ? [] : [followed.content.length], followed.content);
  const inputs = node.inputs.map((input) => weights.get(input));
  if (inputs.length === 0 || !inputs.every((input) => input !== undefined)) return undefined;
  const rule = Object.hasOwn(folds, node.op) ? folds[node.op] : undefined;
  const made = await rule?.(inputs as TensorRef[], node, name, graph);
  if (made === undefined) return undefined;
  if (elementCount(made.shape) <= smallCount) return materialized(made);
  // A value joined with itself again and again would become larger than any file, or take forever to read.
  const cost = made.byteLength + (inputs as TensorRef[]).reduce((sum, input) => sum + costOf(input), 0);
  if (cost > costLimit * made.byteLength || made.byteLength > mostBytes) return undefined;
  costs.set(made, cost);
  return made;
}

/** Small results are made at once: many others may be made of them. */
async function materialized(tensor: TensorRef): Promise<TensorRef> {
  const { name, type, shape, transposeOf } = tensor;
  return isBlockType(type) || transposeOf !== undefined ? tensor : memoryTensor(name, type, shape, await tensor.read());
}

type Fold = (inputs: readonly TensorRef[], node: Node, name: string, graph: Graph) => Promise<TensorRef | undefined>;

const list = async (node: Node, attribute: string, input: TensorRef | undefined): Promise<readonly number[] | undefined> => {
  const found = node.attributes[attribute];
  return found?.kind === 'ints' ? found.value : input === undefined ? undefined : readNumbers(input);
};

/** The same bytes under another shape. */
const reshape = (tensor: TensorRef, name: string, shape: readonly number[]): TensorRef => ({ ...renamed(tensor, name), shape });
/** The shape that inference noted for a value, when every dimension is a number. */
const notedShape = (graph: Graph, name: string): readonly number[] | undefined => {
  const shape = graph.values.get(name)?.shape;
  return shape?.every((dim) => typeof dim === 'number') === true ? (shape as readonly number[]) : undefined;
};
const toNotedShape: Fold = async ([tensor], _node, name, graph) => {
  const shape = notedShape(graph, name);
  return shape !== undefined && elementCount(shape) === elementCount(tensor.shape) ? reshape(tensor, name, shape) : undefined;
};
const wholeBytes = (tensor: TensorRef): number | undefined =>
  (isBlockType(tensor.type) || elementTypes[tensor.type].bits % 8 !== 0 ? undefined : elementTypes[tensor.type].bits / 8);

/** Element-wise on two broadcast operands of one type, integers exactly, float32 rounded once. */
const arithmetic = (compute: (a: number, b: number, integer: boolean) => number): Fold => async ([a, b], node, name) => {
  if (b === undefined || node.attributes.axis !== undefined || node.attributes.broadcast !== undefined || a.type !== b.type) return undefined;
  const shape = broadcast([a.shape, b.shape]) as readonly number[] | undefined;
  const isInteger = a.type === 'i64' || a.type === 'i32';
  if (shape === undefined || elementCount(shape) > smallCount || (!isInteger && a.type !== 'f32')) return undefined;
  const [x, y] = [await readNumbers(a), await readNumbers(b)];
  const [stepsA, stepsB] = [steps(a.shape, shape), steps(b.shape, shape)];
  const values = Array.from({ length: elementCount(shape) }, (_, i) => compute(x[place(i, shape, stepsA)], y[place(i, shape, stepsB)], isInteger));
  // Beyond 2^53 doubles are no longer the integers.
  if (isInteger && !values.every((value) => Number.isSafeInteger(value) && (a.type === 'i64' || value === (value | 0)))) return undefined;
  return numberTensor(name, a.type as ElementType, shape, values);
};

/** Strides of a tensor seen through a broadcast shape; 0 where it repeats. */
function steps(from: readonly number[], to: readonly number[]): number[] {
  let stride = 1;
  const result = Array<number>(to.length).fill(0);
  for (let i = from.length - 1; i >= 0; i--) {
    if (from[i] !== 1) result[i + to.length - from.length] = stride;
    stride *= from[i];
  }
  return result;
}
function place(index: number, shape: readonly number[], stride: readonly number[]): number {
  let rest = index;
  let at = 0;
  for (let i = shape.length - 1; i >= 0; i--) {
    at += (rest % shape[i]) * stride[i];
    rest = Math.floor(rest / shape[i]);
  }
  return at;
}

/** Elements of a tensor in another order: element i of the result is element `source(i)`. */
function rearranged(tensor: TensorRef, name: string, shape: readonly number[], source: (index: number) => number): TensorRef | undefined {
  const width = wholeBytes(tensor);
  if (width === undefined) return undefined;
  const count = elementCount(shape, name);
  return lazyTensor(name, tensor.type, shape, async () => {
    const bytes = await tensor.read();
    const out = new Uint8Array(count * width);
    for (let i = 0; i < count; i++) {
      const from = source(i) * width;
      for (let k = 0; k < width; k++) out[i * width + k] = bytes[from + k];
    }
    return out;
  });
}

/** True for shapes that differ along the axis at most. */
const joins = (a: readonly number[], b: readonly number[], axis: number): boolean => a.length === b.length && a.every((dim, i) => i === axis || dim === b[i]);

const folds: Readonly<Record<string, Fold>> = {
  Identity: async ([tensor], _node, name) => renamed(tensor, name),
  Squeeze: toNotedShape, Unsqueeze: toNotedShape, Flatten: toNotedShape,
  Reshape: async ([tensor, target], node, name) => {
    const wanted = await list(node, 'shape', target);
    const shape = reshaped(tensor.shape, wanted, undefined, intOf(node, 'allowzero', 0) === 1);
    const isWhole = shape?.every((dim) => typeof dim === 'number' && Number.isSafeInteger(dim) && dim >= 0) === true;
    return isWhole && elementCount(shape as number[]) === elementCount(tensor.shape) ? reshape(tensor, name, shape as readonly number[]) : undefined;
  },
  Transpose: async ([tensor], node, name) => {
    const rank = tensor.shape.length;
    const perm = (await list(node, 'perm', undefined)) ?? tensor.shape.map((_, i) => rank - 1 - i);
    if (new Set(perm).size !== rank || perm.some((axis) => !(axis in tensor.shape))) return undefined;
    const shape = perm.map((axis) => tensor.shape[axis]);
    const strides = tensor.shape.map((_, i) => tensor.shape.slice(i + 1).reduce((product, dim) => product * dim, 1));
    const stride = perm.map((axis) => strides[axis]);
    return rearranged(tensor, name, shape, (i) => place(i, shape, stride));
  },
  Gather: async ([tensor, indices], node, name) => {
    const axis = intOf(node, 'axis', 0) < 0 ? intOf(node, 'axis', 0) + tensor.shape.length : intOf(node, 'axis', 0);
    const extent = tensor.shape[axis];
    if (indices === undefined || extent === undefined || elementCount(indices.shape) > smallCount) return undefined;
    const picked = (await readNumbers(indices)).map((index) => (index < 0 ? index + extent : index));
    if (picked.some((index) => index < 0 || index >= extent)) return undefined;
    const inner = tensor.shape.slice(axis + 1).reduce((product, dim) => product * dim, 1);
    const shape = [...tensor.shape.slice(0, axis), ...indices.shape, ...tensor.shape.slice(axis + 1)];
    if (elementCount(shape) > elementCount(tensor.shape) && elementCount(shape) > smallCount) return undefined;
    return rearranged(tensor, name, shape, (i) => {
      const outer = Math.floor(i / (inner * picked.length));
      return (outer * extent + picked[Math.floor(i / inner) % picked.length]) * inner + (i % inner);
    });
  },
  Concat: async (inputs, node, name) => {
    const [{ type, shape }] = inputs;
    const width = wholeBytes(inputs[0]);
    const axis = intOf(node, 'axis', 1) < 0 ? intOf(node, 'axis', 1) + shape.length : intOf(node, 'axis', 1);
    if (width === undefined || !(axis in shape) || !inputs.every((input) => input.type === type && joins(input.shape, shape, axis))) return undefined;
    const total = inputs.reduce((sum, input) => sum + input.shape[axis], 0);
    const blocks = shape.slice(0, axis).reduce((product, dim) => product * dim, 1);
    const result = shape.map((dim, i) => (i === axis ? total : dim));
    return lazyTensor(name, type, result, async () => {
      const parts = await Promise.all(inputs.map((input) => input.read()));
      const out = new Uint8Array(elementCount(result) * width);
      let at = 0;
      for (let block = 0; block < blocks; block++) {
        for (const part of parts) {
          const size = part.byteLength / blocks;
          out.set(part.subarray(block * size, (block + 1) * size), at);
          at += size;
        }
      }
      return out;
    });
  },
  Cast: async ([tensor], node, name) => {
    const to = elementTypeOf(intOf(node, 'to', 0));
    if (to === tensor.type) return renamed(tensor, name);
    if (!isNumberType(to) || !isNumberType(tensor.type)) return undefined;
    const fromFloat = isFloatType(tensor.type);
    // float64 would be rounded twice on its way through float32.
    if (fromFloat && isFloatType(to) && tensor.type !== 'f64') {
      return lazyTensor(name, to, tensor.shape, async () => encodeNumbers(to, await readFloats(tensor)));
    }
    if (elementCount(tensor.shape) > smallCount) return undefined;
    const values = (await readNumbers(tensor)).map((value) => (fromFloat && !isFloatType(to) && to !== 'bool' ? Math.trunc(value) : value));
    if (!fits(to, values)) return undefined;
    return numberTensor(name, to, tensor.shape, values);
  },
  Add: arithmetic((a, b) => a + b),
  Sub: arithmetic((a, b) => a - b),
  Mul: arithmetic((a, b) => a * b),
  Div: arithmetic((a, b, integer) => (integer ? Math.trunc(a / b) : a / b)),
  ConstantOfShape: async ([target], node, name) => {
    const shape = await readNumbers(target);
    const value = node.attributes.value;
    if (shape.some((dim) => dim < 0) || elementCount(shape) > smallCount) return undefined;
    if (value === undefined) return numberTensor(name, 'f32', shape, new Float32Array(elementCount(shape)));
    if (value.kind !== 'tensor' || !isNumberType(value.value.type)) return undefined;
    const [fill] = await readNumbers(value.value);
    return numberTensor(name, value.value.type, shape, Array<number>(elementCount(shape)).fill(fill));
  },
};

/** True when a cast keeps every value; what happens outside of the range differs between engines. */
function fits(type: ElementType, values: readonly number[]): boolean {
  if (isFloatType(type) || type === 'bool') return values.every((value) => Number.isFinite(value));
  const { bits } = elementTypes[type];
  const signed = type.startsWith('i');
  const low = signed ? -(2 ** (bits - 1)) : 0;
  const high = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  return values.every((value) => Number.isSafeInteger(value) && value >= low && value <= high);
}

/** Removes nodes that hand their input on: Identity, Dropout at inference, Cast to the type that the value has. */
export async function removeIdentities(graph: Graph): Promise<Graph> {
  const cleaned = [];
  for (const node of graph.nodes) {
    const done = new Map<Graph, Graph>();
    mapBodies(node, (body) => { done.set(body, body); return body; });
    for (const body of done.keys()) done.set(body, await removeIdentities(body));
    cleaned.push(mapBodies(node, (body) => done.get(body)!));
  }
  const start: Graph = cleaned.every((node, i) => node === graph.nodes[i]) ? graph : { ...graph, nodes: cleaned };
  const view = viewOf(start);
  const targets = new Map<string, string>();
  const names = new Map<string, string>();
  const gone = new Set<Node>();
  for (const node of start.nodes) {
    const [input] = node.inputs;
    const [output, ...others] = node.outputs;
    if (node.domain !== '' || others.some((name) => name !== '') || !(await handsOn(node, view))) continue;
    if (!view.outputs.has(output)) {
      targets.set(output, input);
    } else if (view.producers.has(input) && !view.outputs.has(input) && !names.has(input) && !targets.has(input)) {
      names.set(input, output);
    } else {
      continue;
    }
    gone.add(node);
  }
  if (gone.size === 0) return start;
  const kept: Graph = { ...start, nodes: start.nodes.filter((node) => !gone.has(node)) };
  const values = new Map([...kept.values].filter(([name]) => !targets.has(name)));
  return renameValues(redirectUses({ ...kept, values }, targets), names);
}

async function handsOn(node: Node, view: ReturnType<typeof viewOf>): Promise<boolean> {
  switch (node.op) {
    case 'Identity': return true;
    case 'Cast': return view.info(node.inputs[0])?.type !== undefined && view.info(node.inputs[0])?.type === elementTypeOf(intOf(node, 'to', 0));
    case 'Dropout': {
      if ((node.inputs[2] ?? '') === '') return (view.graph.opset.get('') ?? 1) >= 7 || intOf(node, 'is_test', 0) === 1;
      const training = view.graph.weights.get(node.inputs[2]);
      return training !== undefined && (await readNumbers(training))[0] === 0;
    }
    default: return false;
  }
}
