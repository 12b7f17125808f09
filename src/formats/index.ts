/**
 * Number formats: spellings, encoding and decoding, byte layouts.
 *
 *     const format = parseFormat('int4/g128');
 *     const quantized = format.encode(weights, rows, cols, { search: 'mse' });
 *     const restored = format.decode(quantized);
 */
export type { EncodeOptions, NumberFormat, Quantized } from './format.ts';
export { formatHelp, formatNames, parseFormat } from './registry.ts';
export { isScaled, type ElementRounder, type Fit, type ScaledFormat } from './scaled.ts';
export { groupOf, spellGranularity, tilingOf, type Granularity, type Tiling } from './granularity.ts';
export { integerFormat, type IntegerKind } from './integer.ts';
export { miniFloatFormat } from './minifloat.ts';
export { microscalingFormats } from './microscaling.ts';
export { nf4Format, nf4Table, dynamicMap } from './normal-float.ts';
export { kmeansFormat, kmeansLevels } from './kmeans.ts';
export { tableFormat } from './codebook.ts';
export { binaryFormat } from './binary.ts';
export { ternaryFormat } from './ternary.ts';
export { floatFormats } from './float.ts';
export { scaleTypes, type ScaleType, type ScaleTypeName } from './scale-type.ts';
export { searchScale, power24, defaultLadder, octaveLadder, type ScaleSearch } from './scale-search.ts';
export {
  decodeE8M0, decodeMiniFloat, encodeE8M0, encodeMiniFloat, miniFloat, type MiniFloat,
} from './minifloat-code.ts';
/** Byte layouts: codes to the bytes of a file and back. */
export * as packing from './packing/index.ts';
