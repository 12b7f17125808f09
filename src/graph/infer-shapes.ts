/** Shapes of results, one row per operator or family; operators without a row that are not element-wise stay unknown. */
import type { Dim } from './graph.ts';
import type { Site } from './infer.ts';
import { broadcast, concatenated, convolved, einsumShape, matmul, padded, pooled, product, reduced, reshaped, resized, sliced, transposedConv } from './infer-dims.ts';

type Shape = readonly Dim[] | undefined;
type ShapeRule = (site: Site) => readonly Shape[];

const shape = (site: Site, index = 0): Shape => site.input(index)?.shape;
const numbers = (site: Site, index: number): readonly number[] | undefined => {
  const content = site.input(index)?.content;
  return content?.every((entry) => typeof entry === 'number') === true ? (content as readonly number[]) : undefined;
};
/** A list given as an attribute by older operator sets and as an input by newer ones. */
const list = (site: Site, attribute: string, index: number): readonly number[] | undefined => site.ints(attribute) ?? numbers(site, index);
const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

const one = (rule: (site: Site) => Shape): ShapeRule => (site) => [rule(site)];
const same: ShapeRule = (site) => site.node.outputs.map(() => shape(site));
const likeFirst = one((site) => shape(site));
const elementwise = one((site) => broadcast(site.node.inputs.map((_, i) => shape(site, i))));
const conv = one((site) => convolved(site, shape(site, 0), shape(site, 1)));
const pool: ShapeRule = (site) => site.node.outputs.map(() => pooled(site, shape(site)));
const global = one((site) => shape(site)?.map((dim, i) => (i < 2 ? dim : 1)));

const reduce = one((site) => {
  const axesGiven = site.ints('axes') !== undefined || site.input(1) !== undefined;
  const axes = axesGiven ? list(site, 'axes', 1) : [];
  if (axesGiven && axes === undefined) return site.int('keepdims', 1) === 1 ? shape(site)?.map(() => undefined) : undefined;
  if (axes!.length === 0 && site.int('noop_with_empty_axes', 0) === 1) return shape(site);
  return reduced(shape(site), axes!, site.int('keepdims', 1) === 1);
});
const argReduce = one((site) => reduced(shape(site), [site.int('axis', 0)], site.int('keepdims', 1) === 1));

const squeeze = one((site) => {
  const from = shape(site);
  const axes = list(site, 'axes', 1);
  if (from === undefined) return undefined;
  if (axes === undefined) return site.input(1) === undefined && from.every((dim) => typeof dim === 'number') ? from.filter((dim) => dim !== 1) : undefined;
  const gone = new Set(axes.map((axis) => axisOf(axis, from.length)));
  return from.filter((_, i) => !gone.has(i));
});

const unsqueeze = one((site) => {
  const from = shape(site);
  const axes = list(site, 'axes', 1);
  if (from === undefined || axes === undefined) return undefined;
  const rank = from.length + axes.length;
  const added = new Set(axes.map((axis) => axisOf(axis, rank)));
  let next = 0;
  return Array.from({ length: rank }, (_, i) => (added.has(i) ? 1 : from[next++]));
});

const gather = one((site) => {
  const [from, picked] = [shape(site, 0), shape(site, 1)];
  if (from === undefined || picked === undefined) return undefined;
  const axis = axisOf(site.int('axis', 0), from.length);
  return [...from.slice(0, axis), ...picked, ...from.slice(axis + 1)];
});

/** As Gather; bytes of the last axis hold several codes. */
const gatherBlocks = one((site) => {
  const [found] = gather(site);
  const last = found?.at(-1);
  if (found === undefined || site.input(0)?.type !== 'u8' || typeof last !== 'number') return found;
  return [...found.slice(0, -1), last * (8 / site.int('bits', 4))];
});

const split: ShapeRule = (site) => {
  const from = shape(site);
  const count = site.node.outputs.length;
  if (from === undefined) return [];
  const axis = axisOf(site.int('axis', 0), from.length);
  const whole = from[axis];
  const sizes = site.ints('split') ?? (site.opset >= 13 ? numbers(site, 1) : undefined);
  const part = typeof whole === 'number' ? Math.ceil(whole / count) : undefined;
  return site.node.outputs.map((_, i) => {
    const last = typeof whole === 'number' && part !== undefined ? whole - part * (count - 1) : undefined;
    const size = sizes !== undefined ? sizes[i] : site.opset >= 13 && site.input(1) !== undefined ? undefined : i === count - 1 ? last : part;
    return from.map((dim, j) => (j === axis ? size : dim));
  });
};

const topK: ShapeRule = (site) => {
  const from = shape(site);
  const k = site.opset >= 10 ? numbers(site, 1)?.[0] : site.int('k', 1);
  const axis = from === undefined ? 0 : axisOf(site.int('axis', -1), from.length);
  const result = from?.map((dim, i) => (i === axis ? k : dim));
  return [result, result];
};

const recurrent = (gates: number): ShapeRule => (site) => {
  const [x, w] = [shape(site, 0), shape(site, 1)];
  const directions = w?.[0];
  const hidden = typeof w?.[1] === 'number' ? w[1] / gates : undefined;
  const state: Shape = [directions, x?.[1], hidden];
  return [[x?.[0], directions, x?.[1], hidden], state, state];
};

const gemm = one((site) => {
  const [a, b] = [shape(site, 0), shape(site, 1)];
  if (a === undefined && b === undefined) return undefined;
  return [a?.[site.int('transA', 0) === 0 ? 0 : 1], b?.[site.int('transB', 0) === 0 ? 1 : 0]];
});

const blocks = (site: Site, scale: (block: number, shape: readonly Dim[]) => readonly Dim[]): Shape => {
  const from = shape(site);
  return from?.length === 4 ? scale(site.int('blocksize', 1), from) : undefined;
};
const times = (dim: Dim, factor: number): Dim => (typeof dim === 'number' ? dim * factor : undefined);

/** Sizes wanted of Resize, where one factor must do for all axes. */
const keptRatio = (site: Site, sizes: Shape): Shape => {
  const policy = site.text('keep_aspect_ratio_policy') ?? 'stretch';
  if (policy === 'stretch' || sizes === undefined || sizes.length === 0) return sizes;
  const from = shape(site);
  const lengths = (site.ints('axes') ?? sizes.map((_, i) => i)).map((axis) => from?.[axisOf(axis, from.length)]);
  const ratios = sizes.map((size, i) => Number(size) / Number(lengths[i]));
  const factor = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
  return lengths.map((length) => (Number.isFinite(factor) ? Math.round(Number(length) * factor) : undefined));
};

const rules: Readonly<Record<string, ShapeRule>> = {
  ...table(elementwise, 'Add Sub Mul Div Pow Mod And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual Where Max Min Sum Mean BitwiseAnd BitwiseOr BitwiseXor BitShift PRelu'),
  PRelu: likeFirst,
  ...table(likeFirst, `Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Clip Cos Cosh CumSum Elu Erf Exp Floor Gelu HardSigmoid HardSwish Hardmax Identity
    InstanceNormalization GroupNormalization IsInf IsNaN LRN LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg Not
    RMSNormalization SimplifiedLayerNormalization Reciprocal Relu Round ScatterElements ScatterND Scatter Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish
    Tan Tanh ThresholdedRelu Trilu Cast CastLike QuantizeLinear DequantizeLinear EyeLike RandomNormalLike RandomUniformLike Bernoulli BitwiseNot
    ReverseSequence RotaryEmbedding`),
  ...table(reduce, 'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare'),
  Dropout: same, ArgMax: argReduce, ArgMin: argReduce,
  BatchNormalization: (site) => site.node.outputs.map((_, i) => (i === 0 ? shape(site) : shape(site, 3))),
  LayerNormalization: (site) => {
    const from = shape(site);
    const axis = from === undefined ? 0 : axisOf(site.int('axis', -1), from.length);
    const statistics = from?.map((dim, i) => (i < axis ? dim : 1));
    return [from, statistics, statistics];
  },
  DynamicQuantizeLinear: (site) => [shape(site), [], []],
  Conv: conv, ConvInteger: conv,
  QLinearConv: one((site) => convolved(site, shape(site, 0), shape(site, 3))),
  ConvTranspose: one((site) => transposedConv(site, shape(site, 0), shape(site, 1))),
  MaxPool: pool, AveragePool: pool, LpPool: pool, GlobalAveragePool: global, GlobalMaxPool: global, GlobalLpPool: global,
  MatMul: one((site) => matmul(shape(site, 0), shape(site, 1))),
  MatMulInteger: one((site) => matmul(shape(site, 0), shape(site, 1))),
  QLinearMatMul: one((site) => matmul(shape(site, 0), shape(site, 3))),
  Einsum: one((site) => einsumShape(site.text('equation') ?? '', site.node.inputs.map((_, i) => shape(site, i)))),
  Gemm: gemm, Squeeze: squeeze, Unsqueeze: unsqueeze, Gather: gather, Split: split, TopK: topK,
  GatherElements: one((site) => shape(site, 1)),
  GatherND: one((site) => {
    const [from, picked] = [shape(site, 0), shape(site, 1)];
    const depth = picked?.at(-1);
    if (from === undefined || picked === undefined || typeof depth !== 'number') return undefined;
    return [...picked.slice(0, -1), ...from.slice(site.int('batch_dims', 0) + depth)];
  }),
  LSTM: recurrent(4), GRU: recurrent(3), RNN: recurrent(1),
  Flatten: one((site) => {
    const from = shape(site);
    if (from === undefined) return undefined;
    const axis = axisOf(site.int('axis', 1), from.length);
    return [product(from.slice(0, axis)), product(from.slice(axis))];
  }),
  Reshape: one((site) => reshaped(shape(site), site.ints('shape') ?? site.input(1)?.content, shape(site, 1), site.int('allowzero', 0) === 1)),
  Transpose: one((site) => {
    const from = shape(site);
    return from === undefined ? undefined : (site.ints('perm') ?? from.map((_, i) => from.length - 1 - i)).map((axis) => from[axis]);
  }),
  Concat: one((site) => concatenated(site.node.inputs.map((_, i) => shape(site, i)), site.int('axis', 1))),
  Slice: one((site) => sliced(shape(site), list(site, 'starts', 1), list(site, 'ends', 2),
    site.ints('axes') ?? (site.input(3) === undefined ? 'all' : numbers(site, 3)), site.input(4) === undefined ? 'ones' : numbers(site, 4))),
  Expand: one((site) => broadcast([shape(site), site.input(1)?.content])),
  Tile: one((site) => {
    const repeats = numbers(site, 1);
    return shape(site)?.map((dim, i) => (repeats === undefined ? undefined : repeats[i] === 1 ? dim : times(dim, repeats[i])));
  }),
  Pad: one((site) => padded(shape(site), list(site, 'pads', 1) ?? site.ints('paddings'), site.input(3) === undefined ? undefined : numbers(site, 3) ?? 'unknown')),
  Shape: one((site) => [site.attribute('start') === undefined && site.attribute('end') === undefined ? shape(site)?.length
    : shape(site)?.slice(site.int('start', 0), site.attribute('end') === undefined ? undefined : site.int('end', 0)).length]),
  Size: one(() => []),
  ConstantOfShape: one((site) => site.input(0)?.content),
  Constant: one((site) => {
    const { value, value_ints, value_floats } = site.node.attributes;
    if (value?.kind === 'tensor') return value.value.shape;
    const values = value_ints ?? value_floats ?? site.attribute('value_strings');
    return values !== undefined && Array.isArray(values.value) ? [values.value.length] : [];
  }),
  Range: one((site) => {
    const [start, limit, delta] = [0, 1, 2].map((i) => numbers(site, i)?.[0]);
    return [start === undefined || limit === undefined || delta === undefined || delta === 0 ? undefined : Math.max(0, Math.ceil((limit - start) / delta))];
  }),
  OneHot: one((site) => {
    const from = shape(site);
    if (from === undefined) return undefined;
    const axis = axisOf(site.int('axis', -1), from.length + 1);
    return [...from.slice(0, axis), numbers(site, 1)?.[0], ...from.slice(axis)];
  }),
  Resize: one((site) => resized(shape(site),
    site.opset === 10 ? numbers(site, 1) : numbers(site, 2), site.opset === 10 ? undefined : keptRatio(site, site.input(3)?.content), site.ints('axes'))),
  Upsample: one((site) => {
    const scales = site.attribute('scales');
    return resized(shape(site), scales?.kind === 'floats' ? scales.value : numbers(site, 1), undefined, undefined);
  }),
  DepthToSpace: one((site) => blocks(site, (b, [n, c, h, w]) => [n, typeof c === 'number' ? c / (b * b) : undefined, times(h, b), times(w, b)])),
  SpaceToDepth: one((site) => blocks(site, (b, [n, c, h, w]) => [n, times(c, b * b), typeof h === 'number' ? h / b : undefined, typeof w === 'number' ? w / b : undefined])),
  If: (site) => {
    const other = site.body('else_branch', []);
    return site.body('then_branch', []).map(({ shape: then }, i) => {
      const otherwise = other[i]?.shape;
      if (then === undefined || otherwise?.length !== then.length) return undefined;
      return then.map((dim, j) => (dim === otherwise[j] ? dim : undefined));
    });
  },
};

const contribRules: Readonly<Record<string, ShapeRule>> = {
  FusedMatMul: one((site) => {
    const turned = (from: Shape, flag: string): Shape => (site.int(flag, 0) === 0 || from === undefined || from.length < 2 ? from : [...from.slice(0, -2), from.at(-1), from.at(-2)]);
    return matmul(turned(shape(site, 0), 'transA'), turned(shape(site, 1), 'transB'));
  }),
  MatMulNBits: one((site) => { const from = shape(site); return from === undefined ? undefined : [...from.slice(0, -1), site.int('N', 0)]; }),
  AdaptedProduct: one((site) => {
    const [from, weight] = [shape(site, 0), shape(site, 1)];
    return from === undefined || weight === undefined ? undefined : [...from.slice(0, -1), weight[1 - site.int('transB', 0)]];
  }),
  // Composites of training keep the shape of what they quantize.
  ...table(likeFirst, 'BlockHadamard DoubleRound FakeQuantize StopGradient TrustQuantize'),
  ...table(likeFirst, 'Gelu FastGelu QuickGelu BiasGelu SimplifiedLayerNormalization QuantizeLinear DequantizeLinear RotaryEmbedding GroupQueryAttention'),
  SkipLayerNormalization: (site) => [shape(site), undefined, undefined, shape(site)],
  SkipSimplifiedLayerNormalization: (site) => [shape(site), undefined, undefined, shape(site)],
  GatherBlockQuantized: gatherBlocks,
};

function table(rule: ShapeRule, operators: string): Record<string, ShapeRule> {
  return Object.fromEntries(operators.trim().split(/\s+/).map((op) => [op, rule]));
}

/** Shapes of the outputs of a node. */
export function shapesOf(site: Site): readonly Shape[] {
  const { op, domain } = site.node;
  const rows = domain === '' ? rules : contribRules;
  return Object.hasOwn(rows, op) ? rows[op](site) : [];
}
