/** Operators that make values from shapes and attributes. */
import { elementTypeOf } from '../../graph/data-types.ts';
import type { Call, Operator, Operators } from './call.ts';
import { readValue } from './types.ts';
import { axisOf, scalarOf, sizeOf, tabulate, valueOf } from './value.ts';

/** The one attribute of several that is there. */
const constant: Operator = async (call) => {
  const { attributes } = call.node;
  const tensor = call.tensor('value');
  if (tensor !== undefined) return readValue(tensor);
  if (attributes.value_float !== undefined) return scalarOf('f32', call.float('value_float'));
  if (attributes.value_int !== undefined) return scalarOf('i64', call.int('value_int'));
  if (attributes.value_floats?.kind === 'floats') return valueOf('f32', [attributes.value_floats.value.length], attributes.value_floats.value);
  const ints = call.ints('value_ints');
  if (ints !== undefined) return valueOf('i64', [ints.length], ints);
  throw call.wrong('a constant of numbers is expected');
};

const constantOfShape: Operator = async (call) => {
  const tensor = call.tensor('value');
  const fill = tensor === undefined ? scalarOf('f32', 0) : await readValue(tensor);
  return tabulate(fill.type, call.list(0)!, () => fill.data[0]);
};

const range: Operator = (call) => {
  const [start, limit, delta] = call.inputs.map((value) => value.data[0]);
  const count = Math.max(0, Math.ceil((limit - start) / delta));
  return tabulate(call.input(0).type, [count], ([i]) => start + i * delta);
};

const shape: Operator = (call) => {
  const { shape: dims } = call.input(0);
  const part = dims.slice(call.int('start', 0), call.int('end', dims.length));
  return valueOf('i64', [part.length], part);
};

const typeAttribute = (call: Call) => (call.node.attributes.dtype === undefined ? undefined : elementTypeOf(call.int('dtype')));

const eyeLike: Operator = (call) => {
  const x = call.input(0);
  const k = call.int('k', 0);
  return tabulate(typeAttribute(call) ?? x.type, x.shape, ([row, column]) => (column - row === k ? 1 : 0));
};

/** Indices outside the depth give rows of `off` values. */
const oneHot: Operator = (call) => {
  const [indices, depths, values] = call.inputs;
  const depth = depths.data[0];
  const axis = axisOf(call.int('axis', -1), indices.shape.length + 1);
  const [off, on] = values.data;
  const strideless = (index: readonly number[]): number => index.reduce((at, i, d) => (d === axis ? at : at * indices.shape[d > axis ? d - 1 : d] + i), 0);
  return tabulate(values.type, indices.shape.toSpliced(axis, 0, depth), (index) => {
    const wanted = indices.data[strideless(index)];
    return index[axis] === (wanted < 0 ? wanted + depth : wanted) ? on : off;
  });
};

export const creation: Operators = {
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Range: range,
  Shape: shape,
  Size: (call) => scalarOf('i64', sizeOf(call.input(0).shape)),
  EyeLike: eyeLike,
  OneHot: oneHot,
};
