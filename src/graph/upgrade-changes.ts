/** Breaking changes of operators, by the operator set that brought them. One row per operator. */
import { int, ints, string } from './build.ts';
import type { Node } from './graph.ts';
import { makeNode } from './rewrite.ts';
import type { Change, ChangeRow } from './upgrade.ts';

const rows = (operators: string, row: ChangeRow): Record<string, ChangeRow> =>
  Object.fromEntries(operators.split(' ').map((op) => [op, row]));

const used = (node: Node, from: number): boolean => node.outputs.slice(from).some((output) => output !== '');

/** A list that moved from an attribute to the input at the end. */
const axesToInput: ChangeRow = (c) => {
  const axes = c.ints('axes');
  if (axes === undefined) return undefined;
  return [c.edit({ drop: ['axes'], inputs: [...c.node.inputs, c.weight('axes', axes)] })];
};

/** Before set 6 operators listed the inputs that they might overwrite. */
const noConsumedInputs: ChangeRow = (c) => (c.node.attributes.consumed_inputs === undefined ? undefined : [c.edit({ drop: ['consumed_inputs'] })]);

/** Before set 7 the second operand was aligned at an axis, and only when asked to. */
const alignedBroadcast: ChangeRow = (c) => {
  const { node } = c;
  if (node.attributes.axis === undefined && node.attributes.broadcast === undefined) return undefined;
  const bare = c.edit({ drop: ['axis', 'broadcast'] });
  if (c.int('broadcast', 0) === 0 || node.attributes.axis === undefined) return [bare];
  const rank = c.rankOf(0);
  const second = c.rankOf(1);
  const axis = c.int('axis', 0) < 0 ? c.int('axis', 0) + rank : c.int('axis', 0);
  const behind = rank - axis - second;
  if (behind <= 0) return [bare];
  const wide = c.fresh(`${node.outputs[0]}_aligned`);
  const axes = Array.from({ length: behind }, (_, i) => second + i);
  return [makeNode('Unsqueeze', [node.inputs[1]], [wide], { attributes: { axes: ints(axes) } }), { ...bare, inputs: [node.inputs[0], wide] }];
};

/** Training flags of old sets: inference is what remains. */
const inferenceOnly: ChangeRow = (c) => {
  if (c.int('is_test', 0) === 0 && c.node.op === 'BatchNormalization') throw c.refuse('it is in training mode');
  return c.node.attributes.is_test === undefined ? undefined : [c.edit({ drop: ['is_test'] })];
};

/** Before set 13 these worked on the input seen as a matrix, split at `axis` (default 1). */
const matrixSoftmax: ChangeRow = (c) => {
  const { node, view } = c;
  const axis = c.int('axis', 1);
  const rank = view.info(node.inputs[0])?.shape?.length;
  // The default axis has changed with the meaning; it is written out in either case.
  if (axis === -1 || (rank !== undefined && axis === rank - 1)) return [c.edit({ set: { axis: int(-1) } })];
  const [shape, flat, result] = ['shape', 'flat', 'matrix'].map((part) => c.fresh(`${node.outputs[0]}_${part}`));
  return [
    makeNode('Shape', [node.inputs[0]], [shape]),
    makeNode('Flatten', [node.inputs[0]], [flat], { attributes: { axis: int(axis) } }),
    { ...c.edit({ set: { axis: int(-1) }, inputs: [flat] }), outputs: [result] },
    makeNode('Reshape', [result, shape], [node.outputs[0]]),
  ];
};

/** Numbers of the element types that Cast named by text. */
const castNames: Readonly<Record<string, number>> = {
  FLOAT: 1, UINT8: 2, INT8: 3, UINT16: 4, INT16: 5, INT32: 6, INT64: 7, BOOL: 9, FLOAT16: 10, DOUBLE: 11, UINT32: 12, UINT64: 13,
};

const limit = (c: Change, name: 'min' | 'max'): string => {
  const value = c.float(name);
  return value === undefined ? '' : c.scalar(name, c.typeOf(0), value);
};
const trimmed = (inputs: readonly string[]): readonly string[] => {
  let end = inputs.length;
  while (end > 0 && inputs[end - 1] === '') end--;
  return inputs.slice(0, end);
};

const reductions = 'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare';
const arithmetic = 'Add Sub Mul Div Pow And Or Xor Equal Greater Less';

export const changes: Readonly<Record<number, Readonly<Record<string, ChangeRow>>>> = {
  2: {
    Pad: (c) => [c.edit({ drop: ['paddings'], set: { pads: ints(c.ints('paddings') ?? []) } })],
    Split: (c) => { if (c.node.inputs.length > 1) throw c.refuse('the sizes of the parts are an input'); return undefined; },
  },
  4: { Concat: (c) => [c.edit({ set: { axis: int(c.int('axis', 1)) } })] },
  5: {
    Reshape: (c) => {
      const shape = c.ints('shape');
      if (shape === undefined) throw c.refuse('it has no shape');
      return [c.edit({ drop: ['shape', 'consumed_inputs'], inputs: [c.node.inputs[0], c.weight('shape', shape)] })];
    },
  },
  6: {
    ...rows('Abs Add And BatchNormalization Ceil Clip Div Dropout Elu Exp Floor HardSigmoid InstanceNormalization LeakyRelu Log Max Mean Min Mul Neg PRelu Reciprocal Relu Selu Sigmoid Sqrt Sub Sum Tanh', noConsumedInputs),
    Cast: (c) => {
      const to = c.node.attributes.to;
      if (to?.kind !== 'string') return undefined;
      const number = castNames[to.value.toUpperCase()];
      if (number === undefined) throw c.refuse(`the type ${to.value} is not known`);
      return [c.edit({ set: { to: int(number) } })];
    },
    Tile: (c) => { throw c.refuse('its meaning changed'); },
  },
  7: {
    ...rows(arithmetic, alignedBroadcast), PRelu: noConsumedInputs,
    Gemm: (c) => (c.node.attributes.broadcast === undefined ? undefined : [c.edit({ drop: ['broadcast'] })]),
    BatchNormalization: inferenceOnly, Dropout: inferenceOnly,
    ...rows('GRU LSTM RNN', (c) => (c.node.attributes.output_sequence === undefined ? undefined : [c.edit({ drop: ['output_sequence'] })])),
    Upsample: (c) => {
      const [height, width] = [c.float('height_scale'), c.float('width_scale')];
      if (height === undefined || width === undefined) return undefined;
      return [c.edit({ drop: ['height_scale', 'width_scale'], set: { scales: { kind: 'floats', value: [1, 1, height, width] } } })];
    },
  },
  9: {
    BatchNormalization: (c) => {
      if (c.int('spatial', 1) !== 1) throw c.refuse('it has statistics for each position');
      return c.node.attributes.spatial === undefined ? undefined : [c.edit({ drop: ['spatial'] })];
    },
    Scan: (c) => { throw c.refuse('its signature changed'); },
  },
  10: {
    Slice: (c) => {
      const [starts, ends, axes] = [c.ints('starts'), c.ints('ends'), c.ints('axes')];
      if (starts === undefined || ends === undefined) throw c.refuse('it has no starts or ends');
      const inputs = [c.node.inputs[0], c.weight('starts', starts), c.weight('ends', ends)];
      return [c.edit({ drop: ['starts', 'ends', 'axes'], inputs: axes === undefined ? inputs : [...inputs, c.weight('axes', axes)] })];
    },
    TopK: (c) => [c.edit({ drop: ['k'], inputs: [c.node.inputs[0], c.weight('k', [c.int('k', 1)])] })],
    Dropout: (c) => { if (used(c.node, 1)) throw c.refuse('its mask is used'); return undefined; },
    Upsample: (c) => {
      const scales = c.node.attributes.scales;
      if (scales?.kind !== 'floats') return [c.edit({ op: 'Resize' })];
      return [c.edit({ op: 'Resize', drop: ['scales'], inputs: [c.node.inputs[0], c.floats('scales', scales.value)] })];
    },
  },
  11: {
    Pad: (c) => {
      const pads = c.ints('pads');
      if (pads === undefined) throw c.refuse('it has no pads');
      const value = c.float('value');
      const inputs = [c.node.inputs[0], c.weight('pads', pads)];
      return [c.edit({ drop: ['pads', 'value'], inputs: value === undefined ? inputs : [...inputs, c.scalar('value', c.typeOf(0), value)] })];
    },
    Clip: (c) => [c.edit({ drop: ['min', 'max'], inputs: trimmed([c.node.inputs[0], limit(c, 'min'), limit(c, 'max')]) })],
    Resize: (c) => [c.edit({
      inputs: [c.node.inputs[0], '', c.node.inputs[1]],
      set: { coordinate_transformation_mode: string('asymmetric'), nearest_mode: string('floor') },
    })],
    Scatter: (c) => [c.edit({ op: 'ScatterElements' })],
  },
  12: {
    Dropout: (c) => {
      const ratio = c.float('ratio');
      return ratio === undefined ? undefined : [c.edit({ drop: ['ratio'], inputs: [c.node.inputs[0], c.scalar('ratio', 'f32', ratio)] })];
    },
  },
  13: {
    ...rows('Softmax LogSoftmax Hardmax', matrixSoftmax),
    ...rows('Squeeze Unsqueeze ReduceSum', axesToInput),
    Split: (c) => {
      const sizes = c.ints('split');
      return sizes === undefined ? undefined : [c.edit({ drop: ['split'], inputs: [c.node.inputs[0], c.weight('split', sizes)] })];
    },
    Resize: (c) => {
      const mode = c.node.attributes.coordinate_transformation_mode;
      if (mode?.kind === 'string' && mode.value === 'tf_half_pixel_for_nn') throw c.refuse('its coordinates mode was removed');
      // Empty tensors stood for parts that were left out.
      const empty = (name: string): boolean => c.view.graph.weights.get(name)?.byteLength === 0;
      const inputs = c.node.inputs.map((name, i) => (i > 0 && name !== '' && empty(name) ? '' : name));
      return inputs.some((name, i) => name !== c.node.inputs[i]) ? [c.edit({ inputs: trimmed(inputs) })] : undefined;
    },
  },
  14: {
    BatchNormalization: (c) => {
      if (used(c.node, 1)) throw c.refuse('it is in training mode');
      return c.node.outputs.length > 1 ? [{ ...c.node, outputs: c.node.outputs.slice(0, 1) }] : undefined;
    },
  },
  18: {
    ...rows(reductions, axesToInput),
    Split: (c) => ((c.node.inputs[1] ?? '') !== '' ? undefined : [c.edit({ inputs: [c.node.inputs[0]], set: { num_outputs: int(c.node.outputs.length) } })]),
  },
  20: {
    GridSample: (c) => {
      const mode = c.node.attributes.mode;
      const names: Readonly<Record<string, string>> = { bilinear: 'linear', bicubic: 'cubic' };
      if (mode === undefined) return undefined;
      return mode.kind === 'string' && mode.value in names ? [c.edit({ set: { mode: string(names[mode.value]) } })] : undefined;
    },
    DFT: (c) => [c.edit({ drop: ['axis'], inputs: [c.node.inputs[0], c.node.inputs[1] ?? '', c.scalar('axis', 'i64', c.int('axis', 1))] })],
  },
  21: {
    GroupNormalization: (c) => { throw c.refuse('its scale and bias moved from groups to channels'); },
  },
};

/** Operators whose history is covered: breaking changes above, every other change compatible. */
export const knownOperators: ReadonlySet<string> = new Set(`Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
  BatchNormalization Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil Celu CenterCropPad Clip Col2Im
  Compress Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout
  DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool
  GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If
  InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul
  MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Multinomial Neg NonMaxSuppression NonZero Not OneHot
  Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range
  Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
  ReverseSequence RoiAlign RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice
  Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unique
  Unsqueeze Upsample Where Xor`.trim().split(/\s+/));
