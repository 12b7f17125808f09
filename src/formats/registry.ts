/**
 * The one place where spellings become formats: `head/granularity@scale-type`. Case, spaces, hyphens and underscores
 * do not matter on the way in; `format.name` is the canonical spelling and parses back to an equal format.
 */
import { defineErrors } from '../errors.ts';
import { binaryFormat } from './binary.ts';
import { blockFormats as blocks } from './block-formats.ts';
import { floatFormats } from './float.ts';
import type { NumberFormat } from './format.ts';
import type { Granularity } from './granularity.ts';
import { integerFormat } from './integer.ts';
import { tableFormat } from './codebook.ts';
import { kmeansFormat } from './kmeans.ts';
import { lloydMaxFormat } from './lloyd-max.ts';
import { microscalingFormats } from './microscaling.ts';
import { mixedFormat } from './mixed-blocks.ts';
import { miniFloat } from './minifloat-code.ts';
import { miniFloatFormat } from './minifloat.ts';
import { nestedNormalFloat, normalFloatTable } from './nested-normal-float.ts';
import { nf4Format } from './normal-float.ts';
import { rotatedFormat } from './rotated.ts';
import { scaleTypes, type ScaleType } from './scale-type.ts';
import { ternaryFormat } from './ternary.ts';
import { weightsPerState, type TrellisCode } from './trellis/codes.ts';
import { defaultCode, defaultStateBits, refusedWidth, trellisFormat } from './trellis/trellis.ts';
import { vectorFormat } from './vector.ts';

/** A spelling cut at its marks; parts are absent where the user left them out. */
interface Parts {
  readonly spelling: string;
  readonly granularity?: string;
  readonly scaleType?: string;
  readonly extra?: string;
}

/** Spellings that stand for each family in help and in errors; every one parses. */
const examples: readonly (readonly [spelling: string, meaning: string])[] = [
  ['f32', 'float32, as it is'],
  ['f16', 'half precision'],
  ['bf16', 'bfloat16'],
  ['int8/channel', 'symmetric integers (int2 … int8), one scale per row'],
  ['int8/tensor', 'one scale for the tensor'],
  ['int8/token', 'one scale per token, for activations'],
  ['int4/g128', 'one scale per 128 values along the row; int4/g128+int8at3.7: 8 bits in groups 3 and 7, for inputs'],
  ['int4-full/g128', 'symmetric with all 16 codes, as compressed-tensors has it'],
  ['uint4/g32', 'integers with a zero point (uint1 … uint8)'],
  ['e4m3/tensor', 'FP8; any eXmY of up to 8 bits: e5m2, e2m3, e3m2, e2m1, e3m4, …'],
  ['e4m3/128x128', 'one scale per 128 by 128 block'],
  ['e2m1/b16@ue5m3', 'FP4 in blocks of 16 with UE5M3 scales; scale types: f32, f16, bf16, e4m3, ue5m3, e8m0'],
  ['mxfp4', 'OCP MX: blocks of 32, power-of-two scales'],
  ['mxfp6_e2m3', 'OCP MX FP6'],
  ['mxfp6_e3m2', 'OCP MX FP6, wider range'],
  ['mxfp8_e4m3', 'OCP MX FP8'],
  ['mxfp8_e5m2', 'OCP MX FP8, wider range'],
  ['mxint8', 'OCP MX integers'],
  ['nvfp4', 'FP4 in blocks of 16, E4M3 scales, one float32 scale'],
  ['nvfp4-4over6', 'NVFP4, each block scaled to 6 or to 4'],
  ['nf4/b64', 'the 4-bit normal table of bitsandbytes, blocks of 64'],
  ['nf4/b64+dq', 'the same with 8-bit block scales'],
  ['nf3/b64@bf16+nested8x256', 'normal tables of 2, 3, 4 or 8 bits, block scales as 8-bit codes (2 … 8) in super-blocks of 256 with bfloat16 scales'],
  ['kmeans4/tensor', 'a codebook of 16 learned levels (kmeans1 … kmeans8), per tensor or channel'],
  ['lloydmax3/channel', 'levels of least error for a normal (lloydmax2 … lloydmax8), one scale per row'],
  ['vq2.5', 'pairs as points in the plane for a normal, 1.5 to 6 bits in halves'],
  ['tcq3.25', 'trellis-coded, 1 to 5 bits in quarters; tcq3/l16: more states; tcq3@1mad, @3inst, @hyb: what a state stands for'],
  ['tcq3.25+had', 'the same behind random Hadamard rotations on both sides, as lloydmax and vq can be'],
  ['ternary/g128', 'three levels, scale from the mean magnitude'],
  ['ternary-amax/g128', 'three levels, scale from the extreme'],
  ['binary/channel', 'signs'],
];

const errors = defineErrors('format', {
  unknown: (f: { spelling: string; known: string }) => `unknown format: ${f.spelling} (known: ${f.known})`,
  notEncoded: (f: { spelling: string }) => [`${f.spelling} is recognised in files but neither encoded nor decoded`, 'the nearest that is: iq4_xs, q3_k, q2_k'],
  granularity: (f: { spelling: string; granularity: string; known: string }) =>
    `unknown granularity in ${f.spelling}: ${f.granularity} (known: ${f.known})`,
  scaleType: (f: { spelling: string; scaleType: string; known: string }) =>
    `unknown scale type in ${f.spelling}: ${f.scaleType} (known: ${f.known})`,
  width: (f: { spelling: string; reason: string }) => `${f.spelling}: ${f.reason}`,
  extra: (f: { spelling: string; part: string; head: string }) => `${f.spelling}: ${f.head} takes no ${f.part}`,
});

/** What a user may write for each canonical head. */
const aliases = new Map(Object.entries({
  float32: 'f32', fp32: 'f32', float16: 'f16', fp16: 'f16', half: 'f16', bfloat16: 'bf16',
  fp8: 'e4m3', fp8e4m3: 'e4m3', float8e4m3fn: 'e4m3', e4m3fn: 'e4m3', fp8e5m2: 'e5m2', float8e5m2: 'e5m2',
  fp6e2m3: 'e2m3', fp6e3m2: 'e3m2', fp4: 'e2m1', fp4e2m1: 'e2m1', float4e2m1: 'e2m1',
  mxfp6: 'mxfp6e2m3', mxfp8: 'mxfp8e4m3', nvfp4fouroversix: 'nvfp44over6', normalfloat4: 'nf4', int1: 'binary',
}));

const squeeze = (text: string): string => text.toLowerCase().replace(/[\s_-]/g, '');
const bare = new Map<string, NumberFormat>([...Object.values(floatFormats), ...Object.values(microscalingFormats)].map((f) => [squeeze(f.name), f]));
const blockFormats = new Map<string, NumberFormat>(blocks.map((f) => [squeeze(f.name), f]));

/** Bits and kind of the heads with numbers in them; undefined when the head is none of these. */
function familyOf(head: string, parts: Parts): NumberFormat | undefined {
  let match = /^(u?)int([1-8])(full)?$/.exec(head);
  if (match && !(match[1] === 'u' && match[3])) {
    const bits = Number(match[2]);
    const kind = match[1] === 'u' ? 'asymmetric' : match[3] ? 'full' : 'restricted';
    const granularity = granularityOf(parts, bits > 4 ? { kind: 'channel' } : { kind: 'group', size: 128 });
    const format = integerFormat(bits, kind, granularity, scaleTypeOf(parts));
    const wider = /^int([2-8])at(\d{1,6}(?:\.\d{1,6})*)$/.exec(parts.extra ?? '');
    if (wider && kind === 'restricted' && granularity.kind === 'group' && Number(wider[1]) > bits) {
      return mixedFormat(format, integerFormat(Number(wider[1]), kind, granularity, format.scaleType), wider[2].split('.').map(Number));
    }
    noExtra(head, parts);
    return format;
  }
  match = /^e([1-7])m([0-6])$/.exec(head);
  if (match && Number(match[1]) + Number(match[2]) <= 7) {
    noExtra(head, parts);
    const granularity = granularityOf(parts, { kind: 'tensor' });
    const scaleType = scaleTypeOf(parts);
    const mx = granularity.kind === 'group' && granularity.size === 32 && scaleType === scaleTypes.e8m0
      ? Object.values(microscalingFormats).find((f) => f.scaleType === scaleType && f.name.endsWith(head === 'e2m1' ? 'mxfp4' : `_${head}`))
      : undefined;
    return mx ?? miniFloatFormat(miniFloat(Number(match[1]), Number(match[2])), granularity, scaleType);
  }
  match = /^nf([2348])$/.exec(head);
  if (match) return normalFloat(Number(match[1]), parts);
  const gaussian = gaussianFormat(head, parts);
  if (gaussian !== undefined) return rotatedWhereAsked(gaussian, head, parts);
  match = /^kmeans([1-8])$/.exec(head);
  if (match) {
    noExtra(head, parts);
    const { kind } = granularityOf(parts, { kind: 'tensor' });
    if (kind !== 'tensor' && kind !== 'channel') throw errors.granularity({ spelling: parts.spelling, granularity: parts.granularity ?? '', known: 'tensor, channel' });
    if (parts.scaleType !== undefined) throw errors.extra({ spelling: parts.spelling, part: 'scale type', head });
    return kmeansFormat(Number(match[1]), kind);
  }
  switch (head) {
    case 'ternary':
    case 'ternaryamax':
      noExtra(head, parts);
      return ternaryFormat(granularityOf(parts, { kind: 'tensor' }), scaleTypeOf(parts), head === 'ternaryamax');
    case 'binary':
      noExtra(head, parts);
      return binaryFormat(granularityOf(parts, { kind: 'channel' }), scaleTypeOf(parts));
    default: return undefined;
  }
}

function normalFloat(bits: number, parts: Parts): NumberFormat {
  const { spelling, extra } = parts;
  const head = `nf${bits}`;
  const granularity = granularityOf(parts, { kind: 'flat', size: 64 }, true);
  const nested = /^nested([2-8])x(\d{1,5})$/.exec(extra ?? '');
  if (nested && granularity.kind === 'flat' && Number(nested[2]) > 0) return nestedNormalFloat(bits, granularity.size, { bits: Number(nested[1]), block: Number(nested[2]), type: scaleTypeOf(parts) });
  if (parts.scaleType !== undefined) throw errors.extra({ spelling, part: 'scale type', head });
  if (extra !== undefined && !(extra === 'dq' && bits === 4)) throw errors.extra({ spelling, part: `+${extra}`, head });
  return bits === 4 ? nf4Format(granularity, extra === 'dq') : tableFormat(head, normalFloatTable(bits), granularity);
}

/** Codebooks made for a standard normal. */
function gaussianFormat(head: string, { spelling, granularity, scaleType }: Parts): NumberFormat | undefined {
  const scalar = /^lloydmax([2-8])$/.exec(head);
  const trellis = /^tcq(\d(?:\.\d+)?)$/.exec(head);
  const vector = /^vq(\d(?:\.[05])?)$/.exec(head);
  const pointBits = 2 * Number(vector?.[1]);
  if (!scalar && !trellis && !(pointBits >= 3 && pointBits <= 12)) return undefined;
  if (!trellis && scaleType !== undefined) throw errors.extra({ spelling, part: 'scale type', head });
  if (scalar) {
    if (granularity !== undefined && granularityOf({ spelling, granularity }, { kind: 'channel' }).kind !== 'channel') throw errors.granularity({ spelling, granularity, known: 'channel' });
    return lloydMaxFormat(Number(scalar[1]));
  }
  if (!trellis) {
    if (granularity !== undefined) throw errors.extra({ spelling, part: 'granularity', head });
    return vectorFormat(pointBits);
  }
  const bits = Number(trellis[1]);
  const states = /^l(\d+)$/.exec(granularity ?? `l${defaultStateBits}`);
  if (!states) throw errors.granularity({ spelling, granularity: granularity ?? '', known: 'l8 … l16, the bits of a state' });
  const code = scaleType ?? defaultCode(bits);
  if (!Object.hasOwn(weightsPerState, code)) throw errors.scaleType({ spelling, scaleType: code, known: Object.keys(weightsPerState).join(', ') });
  const reason = refusedWidth(bits, code as TrellisCode, Number(states[1]));
  if (reason !== undefined) throw errors.width({ spelling, reason });
  return trellisFormat(bits, code as TrellisCode, Number(states[1]));
}

function rotatedWhereAsked(format: NumberFormat, head: string, { spelling, extra }: Parts): NumberFormat {
  if (extra === undefined) return format;
  if (extra !== 'had') throw errors.extra({ spelling, part: `+${extra}`, head });
  return rotatedFormat(format);
}

function noExtra(head: string, { spelling, extra }: Parts): void {
  if (extra !== undefined) throw errors.extra({ spelling, part: `+${extra}`, head });
}

/** `flat` formats read `b64` as blocks of the flattened tensor; the others as groups along the row. */
function granularityOf({ spelling, granularity }: Parts, otherwise: Granularity, flat = false): Granularity {
  if (granularity === undefined) return otherwise;
  const known = `tensor, channel, token, ${flat ? 'b64, g64' : 'g128, 128x128'}`;
  const unknown = () => errors.granularity({ spelling, granularity, known });
  const sizes = [...granularity.matchAll(/\d+/g)].map((m) => Number(m[0]));
  if (sizes.some((size) => size < 1 || size > 2 ** 24)) throw unknown();
  switch (granularity.replace(/\d+/g, '#')) {
    case 'tensor':
    case 'pertensor': return { kind: 'tensor' };
    case 'channel':
    case 'perchannel':
    case 'row': return { kind: 'channel' };
    case 'token':
    case 'pertoken': return { kind: 'token' };
    case 'g#':
    case 'group#': return { kind: 'group', size: sizes[0] };
    case 'b#':
    case 'block#': return { kind: flat ? 'flat' : 'group', size: sizes[0] };
    case '#x#': return { kind: 'block', rows: sizes[0], cols: sizes[1] };
    default: throw unknown();
  }
}

function scaleTypeOf({ spelling, scaleType }: Parts): ScaleType {
  if (scaleType === undefined) return scaleTypes.f32;
  const name = aliases.get(scaleType) ?? scaleType;
  if (!Object.hasOwn(scaleTypes, name)) throw errors.scaleType({ spelling, scaleType, known: Object.keys(scaleTypes).join(', ') });
  return scaleTypes[name as keyof typeof scaleTypes];
}

const parsed = new Map<string, NumberFormat>();

/**
 * The format of a spelling. `prefer: 'ggml'` reads `mxfp4` and `nvfp4`, which name both a microscaling format and a
 * GGUF block type, as the block type; the block types are also `ggml-mxfp4` and `ggml-nvfp4`.
 */
export function parseFormat(spelling: string, prefer?: 'ggml'): NumberFormat {
  const key = squeeze(spelling);
  const cached = parsed.get(`${prefer ?? ''} ${key}`);
  if (cached !== undefined) return cached;
  const match = /^([^/@+]+)(?:\/([^/@+]+))?(?:@([^/@+]+))?(?:\+([^/@+]+))?$/.exec(key);
  if (match === null) throw errors.unknown({ spelling, known: formatNames().join(', ') });
  const head = aliases.get(match[1]) ?? match[1];
  const parts: Parts = { spelling, granularity: match[2], scaleType: match[3], extra: match[4] };
  const whole = (prefer === 'ggml' ? blockFormats.get(`ggml${head}`) : undefined) ?? bare.get(head) ?? blockFormats.get(head) ?? blockFormats.get(head.replace(/^ggml/, ''));
  if (whole !== undefined) {
    if (parts.granularity !== undefined) throw errors.extra({ spelling, part: 'granularity', head: whole.name });
    if (parts.scaleType !== undefined) throw errors.extra({ spelling, part: 'scale type', head: whole.name });
    noExtra(whole.name, parts);
  }
  const format = whole ?? familyOf(head, parts);
  if (format === undefined && /^iq(1[sm]|2(xxs|xs|s)|3(xxs|s))$/.test(head)) throw errors.notEncoded({ spelling });
  if (format === undefined) throw errors.unknown({ spelling, known: formatNames().join(', ') });
  parsed.set(`${prefer ?? ''} ${key}`, format);
  return format;
}

/** Spellings to show in help: one or more per family, and every GGUF block type. */
export const formatNames = (): string[] => [...examples.map(([spelling]) => spelling), ...[...blockFormats.values()].map((f) => f.name)];

/** The same with one line each; block types have no line of their own. */
export const formatHelp = (): readonly (readonly [spelling: string, meaning: string])[] => [
  ...examples, ...[...blockFormats.values()].map((f) => [f.name, `GGUF block type, ${f.bitsPerWeight(1, 256)} bits a weight`] as const),
];
