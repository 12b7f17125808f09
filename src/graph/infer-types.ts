/** Element types of results: most operators keep the type of their first input; this table lists those that do not. */
import { elementTypeOf } from './data-types.ts';
import type { ElementType } from '../tensor-ref.ts';
import type { Site } from './infer.ts';

type Type = ElementType | 'string' | undefined;
type TypeRule = (site: Site) => readonly Type[];

const like = (index: number): TypeRule => (site) => fill(site, site.input(index)?.type);
const always = (...types: Type[]): TypeRule => () => types;
const fill = (site: Site, type: Type): Type[] => site.node.outputs.map(() => type);
/** The type that an attribute numbers, else a fallback. */
const named = (attribute: string, fallback: (site: Site) => Type): TypeRule => (site) => {
  const number = site.int(attribute, 0);
  return fill(site, number === 0 ? fallback(site) : elementTypeOf(number));
};
const first = (site: Site): Type => site.input(0)?.type;

const rules: Readonly<Record<string, TypeRule>> = {
  Shape: always('i64'), Size: always('i64'), ArgMax: always('i64'), ArgMin: always('i64'), NonZero: always('i64'),
  NonMaxSuppression: always('i64'),
  Equal: always('bool'), Greater: always('bool'), GreaterOrEqual: always('bool'), Less: always('bool'), LessOrEqual: always('bool'),
  And: always('bool'), Or: always('bool'), Xor: always('bool'), Not: always('bool'), IsNaN: always('bool'), IsInf: always('bool'),
  Cast: named('to', () => undefined),
  CastLike: like(1), Where: like(1), OneHot: like(2), Identity: like(0),
  ConstantOfShape: (site) => {
    const value = site.attribute('value');
    return [value?.kind === 'tensor' ? (value.value.type as ElementType) : 'f32'];
  },
  Constant: (site) => {
    const { value } = site.node.attributes;
    if (value?.kind === 'tensor') return [value.value.type as ElementType];
    if (site.attribute('value_int') !== undefined || site.attribute('value_ints') !== undefined) return ['i64'];
    return [site.attribute('value_float') !== undefined || site.attribute('value_floats') !== undefined ? 'f32' : 'string'];
  },
  EyeLike: named('dtype', first),
  RandomNormal: named('dtype', () => 'f32'), RandomUniform: named('dtype', () => 'f32'), Multinomial: named('dtype', () => 'i32'),
  RandomNormalLike: named('dtype', first), RandomUniformLike: named('dtype', first), Bernoulli: named('dtype', first),
  Dropout: (site) => [first(site), site.opset >= 10 ? 'bool' : first(site)],
  MaxPool: (site) => [first(site), 'i64'],
  TopK: (site) => [first(site), 'i64'],
  Unique: (site) => [first(site), 'i64', 'i64', 'i64'],
  LayerNormalization: (site) => [first(site), 'f32', 'f32'],
  QuantizeLinear: named('output_dtype', (site) => site.input(2)?.type ?? 'u8'),
  DequantizeLinear: named('output_dtype', (site) => site.input(1)?.type),
  DynamicQuantizeLinear: always('u8', 'f32', 'u8'),
  MatMulInteger: always('i32'), ConvInteger: always('i32'), QLinearMatMul: like(7), QLinearConv: like(7),
  If: (site) => bodyTypes(site, 'then_branch', []),
  // A body of Loop gets the iteration number and the condition first, and returns the condition first.
  Loop: (site) => bodyTypes(site, 'body', [{ type: 'i64', shape: [] }, { type: 'bool', shape: [] }, ...site.node.inputs.slice(2).map((_, i) => ({ type: site.input(i + 2)?.type, shape: undefined }))]).slice(1),
  Scan: (site) => {
    const body = site.attribute('body');
    const before = site.opset < 9 ? 1 : 0;
    const count = body?.kind === 'graph' ? body.value.inputs.length : 0;
    return bodyTypes(site, 'body', Array.from({ length: count }, (_, i) => ({ type: site.input(i + before)?.type, shape: undefined })));
  },
};

const contribRules: Readonly<Record<string, TypeRule>> = {
  GatherBlockQuantized: like(2),
  DequantizeLinear: like(1),
  QuantizeLinear: (site) => [site.input(2)?.type ?? 'u8'],
  MatMulIntegerToFloat: like(2),
  DynamicQuantizeMatMul: like(0),
  SkipLayerNormalization: (site) => [first(site), 'f32', 'f32', first(site)],
  SkipSimplifiedLayerNormalization: (site) => [first(site), 'f32', 'f32', first(site)],
};

const bodyTypes = (site: Site, attribute: string, inputs: Parameters<Site['body']>[1]): Type[] => site.body(attribute, inputs).map((output) => output.type);

/** Element types of the outputs of a node. */
export function typesOf(site: Site): readonly Type[] {
  const { op, domain } = site.node;
  const table = domain === '' ? rules : contribRules;
  const rule = Object.hasOwn(table, op) ? table[op] : undefined;
  return rule === undefined ? fill(site, first(site)) : rule(site);
}
