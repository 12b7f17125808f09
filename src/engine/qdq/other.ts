/** Operators of floats: kernels where there are some, moves, and the interpreter for the rest. */
import type { Node } from '../../graph/graph.ts';
import { axisOf, sizeOf, type Value64 } from '../interpreter/value.ts';
import { callOf, movesElements, placesOf } from './geometry.ts';
import { lyingAxes, type Stored } from './memory.ts';
import { otherOf } from './functions.ts';
import { stale, type Bench } from './bench.ts';

/** Gives the names of what it made. */
export async function prepareOther(node: Node, bench: Bench): Promise<readonly string[]> {
  const [first, second] = node.inputs;
  const floats = (name: string | undefined): boolean => name !== undefined && name !== '' && isFloats(name, bench);
  if (floats(first) && node.outputs.length > 0 && movesElements(node, constantZero(node.inputs[2], bench))) {
    bench.floats(first);
    return move(node, node.inputs, node.outputs, 0, bench);
  }
  if (node.op === 'Concat' && node.inputs.every(floats)) {
    concatenate(node, node.inputs.map((name) => bench.stored(name)), node.outputs[0], bench, (from, rows, width, to, stride) => bench.kernels.scatter(from, rows, width, to, stride));
    return node.outputs;
  }
  const call = floats(first) ? kernelOf(node, bench) : undefined;
  if (call !== undefined) {
    const x = bench.stored(first);
    const y = floats(second) ? bench.stored(second) : undefined;
    call(x, y);
    return node.outputs;
  }
  return interpreted(node, bench);
}

/** Floats that lie in memory, or that can: what the interpreter made of inputs. */
const isFloats = (name: string, bench: Bench): boolean => bench.kind(name) === 'floats' || (bench.kind(name) === 'held' && !bench.network.constants.has(name) && bench.reading(name)().type === 'f32');

/** Operators on floats that have a kernel. */
function kernelOf(node: Node, bench: Bench): ((x: Stored, y: Stored | undefined) => void) | undefined {
  const { kernels, network: { constants }, onRun } = bench;
  const [output] = node.outputs;
  const clamp = (low: number, high: number) => (x: Stored): void => {
    const out = bench.make(output, 'floats', x.shape);
    onRun(() => kernels.clampFloats(x.block.at, sizeOf(x.shape), low, high, out.block.at));
  };
  if (node.op === 'Relu') return clamp(0, Infinity);
  if (node.op === 'Clip') {
    const bounds = [1, 2].map((i) => ((node.inputs[i] ?? '') === '' ? (i === 1 ? -Infinity : Infinity) : constants.get(node.inputs[i])?.data[0]));
    return bounds.every((bound) => bound !== undefined) && bounds[0]! <= bounds[1]! ? clamp(bounds[0]!, bounds[1]!) : undefined;
  }
  const [a, b] = node.inputs.map((name) => (name === '' ? [] : bench.shapeOf(name)));
  if (node.op === 'Add' && isFloats(node.inputs[1], bench) && String(a) === String(b)) {
    return (x, y) => {
      const out = bench.make(output, 'floats', x.shape);
      onRun(() => kernels.addFloats(x.block.at, y!.block.at, sizeOf(x.shape), out.block.at));
    };
  }
  if (node.op === 'GlobalAveragePool' && a.length > 2) {
    return (x) => {
      const [images, channels, ...spatial] = x.shape;
      const out = bench.make(output, 'floats', [images, channels, ...spatial.map(() => 1)]);
      const plane = sizeOf(spatial);
      for (let i = 0; i < images; i++) onRun(() => kernels.averageFloats(x.block.at + 4 * i * channels * plane, channels, plane, out.block.at + 4 * i * channels));
    };
  }
  return undefined;
}

const constantZero = (name: string | undefined, { network: { constants } }: Bench): boolean => (name ?? '') === '' || constants.get(name!)?.data.every((value) => value === 0) === true;

/** Elements of the first input in other places; the plan holds for the same other inputs. */
export async function move(node: Node, inputs: readonly string[], outputs: readonly string[], fill: number, bench: Bench): Promise<readonly string[]> {
  const reads = inputs.slice(1).map((name) => (name === '' ? undefined : bench.reading(name)));
  const others = reads.map((read) => read?.());
  const made = await placesOf(node, [bench.shapeOf(inputs[0])], others);
  made.slice(0, outputs.length).forEach(({ shape, from }, i) => { if (outputs[i] !== '') bench.move(outputs[i], inputs[0], shape, from, fill); });
  if (inputs.slice(1).some((name) => name !== '' && !bench.network.constants.has(name))) {
    bench.onRun(() => { if (reads.some((read, i) => read !== undefined && !equal(read(), others[i]!))) throw stale; });
  }
  return outputs;
}

const equal = (a: Value64, b: Value64): boolean => a.data.length === b.data.length && a.data.every((value, i) => value === b.data[i]);

/** Rows of every part side by side, along the axis as it lies in memory. */
export function concatenate(node: Node, parts: readonly Stored[], output: string, bench: Bench, copy: (from: number, rows: number, width: number, to: number, stride: number, part: number) => void): void {
  const [{ shape, kind }] = parts;
  const axis = axisOf(callOf(node, []).int('axis'), shape.length);
  if (parts.some((part) => part.shape.length !== shape.length || part.shape.some((dim, i) => i !== axis && dim !== shape[i]))) throw callOf(node, []).wrong('its inputs do not fit together');
  const made = shape.with(axis, parts.reduce((sum, part) => sum + part.shape[axis], 0));
  const out = bench.make(output, kind, made);
  const order = lyingAxes(shape);
  const rows = order.slice(0, order.indexOf(axis)).reduce((product, one) => product * shape[one], 1);
  const bytes = kind === 'codes' ? 1 : 4;
  const stride = (sizeOf(made) / rows) * bytes;
  let to = out.block.at;
  for (const [i, part] of parts.entries()) {
    const width = (sizeOf(part.shape) / rows) * bytes;
    const at = to;
    bench.onRun(() => copy(part.block.at, rows, width, at, stride, i));
    to += width;
  }
}

async function interpreted(node: Node, bench: Bench): Promise<readonly string[]> {
  const reads = node.inputs.map((name) => (name === '' ? undefined : bench.reading(name)));
  const compute = (): Promise<readonly Value64[]> => otherOf(node, reads.map((read) => read?.()));
  const first = await compute();
  const held = node.outputs.map((name, i) => (name === '' ? undefined : bench.hold(name, first[i])));
  bench.onRun(async () => {
    const found = await compute();
    for (const [i, one] of held.entries()) {
      if (one === undefined) continue;
      if (String(found[i].shape) !== String(first[i].shape)) throw stale;
      one.value = found[i];
    }
  });
  return node.outputs;
}
