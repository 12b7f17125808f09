/** Operators that run a body: once, while a condition holds, or along an axis. */
import type { ValueInfo } from '../../graph/graph.ts';
import type { Operator, Operators } from './call.ts';
import { selected } from './gather.ts';
import { concatenated } from './movement.ts';
import { axisOf, reshaped, scalarOf, valueOf, type Value64 } from './value.ts';

/** Values as one, along a new axis; without any, the declared shape with nothing in it. */
function stacked(values: readonly Value64[], axis: number, declared: ValueInfo): Value64 {
  if (values.length === 0) {
    const dims = (declared.shape ?? []).map((dim) => (typeof dim === 'number' ? dim : 0));
    return valueOf(declared.type === undefined || declared.type === 'string' ? 'f32' : declared.type, dims.toSpliced(axis, 0, 0), []);
  }
  const at = axisOf(axis, values[0].shape.length + 1);
  return concatenated(values.map((value) => reshaped(value, value.shape.toSpliced(at, 0, 1))), at);
}

/** Body: (iteration, condition, carried …) → (condition, carried …, elements of the stacked outputs …). */
const loop: Operator = async (call) => {
  const body = call.body('body');
  const trips = call.optional(0)?.data[0] ?? Infinity;
  let condition = call.optional(1) ?? scalarOf('bool', 1);
  let carried: readonly Value64[] = call.node.inputs.slice(2).map((_, i) => call.input(2 + i));
  const count = carried.length;
  const elements: Value64[][] = body.outputs.slice(1 + count).map(() => []);
  for (let i = 0; i < trips && condition.data[0] !== 0; i++) {
    const results = await call.run(body, [scalarOf('i64', i), condition, ...carried]);
    condition = results[0];
    carried = results.slice(1, 1 + count);
    for (const [k, list] of elements.entries()) list.push(results[1 + count + k]);
  }
  return [...carried, ...elements.map((list, k) => stacked(list, 0, body.outputs[1 + count + k]))];
};

/** Body: (states …, slices of the scanned inputs …) → (states …, elements of the stacked outputs …). */
const scan: Operator = async (call) => {
  const body = call.body('body');
  const scanned = call.int('num_scan_inputs');
  const count = call.inputs.length - scanned;
  let states: readonly Value64[] = call.inputs.slice(0, count);
  const sources = call.inputs.slice(count);
  const axes = sources.map((source, k) => axisOf(call.ints('scan_input_axes')?.[k] ?? 0, source.shape.length));
  const backwards = (attribute: string, k: number): boolean => (call.ints(attribute)?.[k] ?? 0) !== 0;
  const length = sources[0].shape[axes[0]];
  const elements: Value64[][] = body.outputs.slice(count).map(() => []);
  for (let i = 0; i < length; i++) {
    const slices = sources.map((source, k) => selected(source, axes[k], backwards('scan_input_directions', k) ? length - 1 - i : i));
    const results = await call.run(body, [...states, ...slices]);
    states = results.slice(0, count);
    for (const [k, list] of elements.entries()) {
      if (backwards('scan_output_directions', k)) list.unshift(results[count + k]);
      else list.push(results[count + k]);
    }
  }
  return [...states, ...elements.map((list, k) => stacked(list, call.ints('scan_output_axes')?.[k] ?? 0, body.outputs[count + k]))];
};

export const control: Operators = {
  If: (call) => call.run(call.body(call.input(0).data[0] !== 0 ? 'then_branch' : 'else_branch'), []),
  Loop: loop,
  Scan: scan,
};
