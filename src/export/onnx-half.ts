/**
 * Half precision: weights and computation in float16, inputs and outputs in float32 as before. What leaves the range or
 * the precision of half floats stays in float32: sums of squares, positions, resizing, and values that were seen to overflow.
 */
import type { TensorRef } from '../tensor-ref.ts';
import { int, tensor as tensorAttribute } from '../graph/build.ts';
import { onnxTypes } from '../graph/data-types.ts';
import type { Graph, Node, ValueInfo } from '../graph/graph.ts';
import { inferTypes } from '../graph/infer.ts';
import { freshNames, makeNode, removeDeadNodes } from '../graph/rewrite.ts';
import { bodies, freeNames, sortNodes } from '../graph/traverse.ts';
import { encodeNumbers, lazyTensor, readFloats } from '../graph/values.ts';
import { note, type ExportNote } from './onnx-note.ts';

/** Largest finite half float. */
export const halfMax = 65504;

/** Operators that stay in float32: their sums or arguments need more range or precision, or no engine has them in half. */
const full = new Set([
  'Pow', 'Sqrt', 'Reciprocal', 'Exp', 'Log', 'ReduceMean', 'ReduceSum', 'ReduceSumSquare', 'ReduceL2', 'ReduceProd', 'CumSum', 'Range', 'Sin', 'Cos',
  'Resize', 'Upsample', 'GridSample', 'RoiAlign', 'NonMaxSuppression', 'TopK', 'LayerNormalization', 'InstanceNormalization', 'GroupNormalization',
  'RMSNormalization', 'SimplifiedLayerNormalization', 'LSTM', 'GRU', 'RNN', 'Scan', 'Loop', 'If', 'QuantizeLinear', 'DynamicQuantizeLinear', 'Einsum', 'Mod',
]);

/** Values that come within this factor of the largest half float are taken for overflowing: other inputs reach further. */
const headroom = 2;
/** Values that are named one by one. */
const named = 5;

/** Contrib operators with half kernels. */
const halfContrib = new Set(['MatMulNBits', 'GatherBlockQuantized']);

export interface HalfOptions {
  /** Largest absolute value of each inner value, as seen on data; what reaches beyond half precision keeps its neighbourhood in float32. */
  readonly extremes?: ReadonlyMap<string, number>;
}

/** Notes about weights that were clipped are added while the weights are read. */
export async function exportHalf(graph: Graph, options: HalfOptions = {}): Promise<{ graph: Graph; notes: readonly ExportNote[] }> {
  const typed = await inferTypes(graph);
  const notes: ExportNote[] = [];
  const types = floatValues(typed);
  const overflowing = new Set([...options.extremes ?? []].filter(([name, extreme]) => types.has(name) && !(extreme * headroom <= halfMax)).map(([name]) => name));
  notes.push(...overflowNotes(overflowing, options.extremes));
  const keep = keptNodes(typed, types, overflowing);
  const fresh = freshNames(typed);
  const weights = new Map(typed.weights);
  const nodes: Node[] = [];
  const halves = new Map<string, string>();
  const fulls = new Set<string>();
  for (const input of typed.inputs) if (types.has(input.name)) fulls.add(input.name);

  const cast = (from: string, to: string, type: 'f16' | 'f32'): void => {
    nodes.push(makeNode('Cast', [from], [to], { name: fresh(`${to}_Cast`), attributes: { to: int(onnxTypes[type]) } }));
  };
  /** The value in float16: a converted weight, what a half node made, or a cast. */
  const asHalf = (name: string): string => {
    const known = halves.get(name);
    if (known !== undefined) return known;
    const made = fresh(`${name}_half`);
    halves.set(name, made);
    const weight = typed.weights.get(name);
    if (weight === undefined) cast(name, made, 'f16');
    else weights.set(made, halfTensor(weight, made, notes));
    return made;
  };
  const asFull = (name: string): string => {
    if (!typed.weights.has(name) && !fulls.has(name)) {
      fulls.add(name);
      cast(halves.get(name)!, name, 'f32');
    }
    return name;
  };
  for (const node of typed.nodes) {
    const stays = keep.has(node);
    if (stays) for (const { graph: body } of bodies(node)) for (const name of freeNames(body)) if (types.has(name)) asFull(name);
    const inputs = node.inputs.map((name) => (!types.has(name) ? name : stays ? asFull(name) : asHalf(name)));
    const outputs = node.outputs.map((name) => {
      if (!types.has(name)) return name;
      if (stays) { fulls.add(name); return name; }
      const made = fresh(`${name}_half`);
      halves.set(name, made);
      return made;
    });
    nodes.push({ ...node, inputs, outputs, attributes: stays ? node.attributes : halfAttributes(node) });
  }
  for (const output of typed.outputs) if (types.has(output.name)) asFull(output.name);
  const values = new Map<string, ValueInfo>();
  for (const [name, info] of typed.values) {
    const half = halves.get(name);
    if (!types.has(name) || fulls.has(name)) values.set(name, info);
    if (half !== undefined && types.has(name)) values.set(half, { ...info, name: half, type: 'f16' });
  }
  const next: Graph = { ...typed, nodes, weights, values };
  return { graph: unusedWeightsGone(removeDeadNodes({ ...next, nodes: sortNodes(next) })), notes };
}

/** The largest values by name, the others by number. */
function overflowNotes(overflowing: ReadonlySet<string>, extremes: HalfOptions['extremes'] = new Map()): ExportNote[] {
  const sorted = [...overflowing].sort((a, b) => extremes.get(b)! - extremes.get(a)!);
  const notes = sorted.slice(0, named).map((name) => {
    const extreme = extremes.get(name)!;
    const where = extreme <= halfMax ? `close to the ${halfMax} that half floats end at` : `beyond the ${halfMax} that half floats end at`;
    return note('overflow', name, `reaches ${extreme.toExponential(2)}, ${where}: stays in float32`);
  });
  return sorted.length <= named ? notes : [...notes, note('overflow', sorted[named], `and ${sorted.length - named - 1} more reach ${extremes.get(sorted[named])!.toExponential(2)} at most: they stay in float32 too`)];
}

/** Names of all float32 values; results of contrib operators are as their first input. */
function floatValues(graph: Graph): Set<string> {
  const names = new Set<string>();
  for (const { name, type } of [...graph.inputs, ...graph.outputs, ...graph.values.values()]) if (type === 'f32') names.add(name);
  for (const [name, { type }] of graph.weights) if (type === 'f32') names.add(name);
  for (const node of graph.nodes) if (node.domain === 'com.microsoft' && names.has(node.inputs[0])) names.add(node.outputs[0]);
  return names;
}

/** Nodes that stay in float32: those of the table, those around overflowing values, and what feeds nothing else. */
function keptNodes(graph: Graph, types: ReadonlySet<string>, overflowing: ReadonlySet<string>): Set<Node> {
  const keep = new Set<Node>();
  const users = new Map<string, Node[]>();
  for (const node of graph.nodes) for (const name of node.inputs) users.set(name, [...(users.get(name) ?? []), node]);
  for (const node of graph.nodes) {
    const touches = [...node.inputs, ...node.outputs].some((name) => overflowing.has(name));
    const contrib = node.domain !== '' && !halfContrib.has(node.op);
    if (full.has(node.op) || touches || contrib || bodies(node).length > 0) keep.add(node);
  }
  // A square, a difference or a sum that only such nodes read would lose or overflow before they see it.
  for (const node of [...graph.nodes].reverse()) {
    const outputs = node.outputs.filter((name) => types.has(name));
    if (keep.has(node) || outputs.length === 0 || !['Mul', 'Add', 'Sub', 'Div', 'Abs', 'Neg', 'Unsqueeze', 'Squeeze', 'Reshape', 'Cast'].includes(node.op)) continue;
    const readers = outputs.flatMap((name) => users.get(name) ?? []);
    const leaves = outputs.some((name) => graph.outputs.some((output) => output.name === name));
    if (!leaves && readers.length > 0 && readers.every((reader) => keep.has(reader))) keep.add(node);
  }
  return keep;
}

/** A cast to float32 becomes one to float16; a constant becomes half too. */
function halfAttributes(node: Node): Node['attributes'] {
  const { to, value } = node.attributes;
  if (node.op === 'Cast' && to?.kind === 'int' && to.value === onnxTypes.f32) return { ...node.attributes, to: int(onnxTypes.f16) };
  if ((node.op === 'ConstantOfShape' || node.op === 'Constant') && value?.kind === 'tensor' && value.value.type === 'f32') {
    return { ...node.attributes, value: tensorAttribute(halfTensor(value.value, value.value.name, [])) };
  }
  if (node.op === 'ConstantOfShape' && value === undefined) return { ...node.attributes, value: tensorAttribute(zeroHalf) };
  return node.attributes;
}

const zeroHalf: TensorRef = lazyTensor('zero', 'f16', [1], async () => new Uint8Array(2));

/** A weight in float16; what lies beyond is clipped, and said. */
function halfTensor(weight: TensorRef, name: string, notes: ExportNote[]): TensorRef {
  return lazyTensor(name, 'f16', weight.shape, async () => {
    const values = (await readFloats(weight)).slice();
    let clipped = 0;
    for (let i = 0; i < values.length; i++) {
      if (Math.abs(values[i]) <= halfMax) continue;
      values[i] = Math.sign(values[i]) * halfMax;
      clipped++;
    }
    if (clipped > 0 && !notes.some((made) => made.name === weight.name)) notes.push(note('overflow', weight.name, `${clipped === 1 ? 'a value' : `${clipped} values`} beyond ${halfMax} clipped`));
    return encodeNumbers('f16', values);
  });
}

function unusedWeightsGone(graph: Graph): Graph {
  const used = new Set(graph.nodes.flatMap((node) => [...node.inputs, ...bodies(node).flatMap(({ graph: body }) => [...freeNames(body)])]));
  for (const { name } of graph.outputs) used.add(name);
  return { ...graph, weights: new Map([...graph.weights].filter(([name]) => used.has(name))) };
}

