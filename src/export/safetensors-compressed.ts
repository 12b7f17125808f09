/** compressed-tensors: packed integers, plain int8 and FP8, NVFP4 and MXFP4, each format under a configuration group of its own. */
import type { TensorOut } from '../tensor-ref.ts';
import type { NumberFormat, Quantized } from '../formats/format.ts';
import { tilingOf } from '../formats/granularity.ts';
import { packing } from '../formats/index.ts';
import { isScaled } from '../formats/scaled.ts';
import { encodeBf16 } from '../numeric/half.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import type { Activations, Layout } from './safetensors.ts';
import { bytesOf, granularityOf, halfScales, passOver, tensorOut, type Pass } from './safetensors-pass.ts';
import { groupsOf, groupSize, isAsymmetric } from './safetensors-gptq.ts';

type Kind = 'pack-quantized' | 'int-quantized' | 'float-quantized' | 'nvfp4-pack-quantized' | 'mxfp4-pack-quantized';

/** The storage of a format, or why there is none that loaders take. */
function kindOf(format: NumberFormat, activations: Activations): Kind | { readonly refused: string } {
  const granularity = granularityOf(format)?.kind;
  if (activations === 'static') return { refused: 'static activation ranges are not written to safetensors' };
  if (format.name.startsWith('nvfp4') || format.name === 'mxfp4') {
    return activations === 'float' ? (format.name === 'mxfp4' ? 'mxfp4-pack-quantized' : 'nvfp4-pack-quantized') : { refused: `${format.name} is written with float activations only` };
  }
  if (format.name.startsWith('e4m3/') && (granularity === 'tensor' || granularity === 'channel' || granularity === 'block')) {
    return granularity === 'block' && activations === 'dynamic' ? { refused: 'FP8 blocks are written with float activations only' } : 'float-quantized';
  }
  if (format.family === 'integer' && groupSize(format) !== undefined) {
    if (activations === 'dynamic') {
      return format.bits === 8 && granularity !== 'group' && !isAsymmetric(format) ? 'int-quantized' : { refused: `dynamic activations go with int8 weights of one scale per row or tensor, not with ${format.name}` };
    }
    if (format.bits === 4 || format.bits === 8) return 'pack-quantized';
  }
  return { refused: `compressed-tensors holds integers of 4 or 8 bits, e4m3, nvfp4 and mxfp4, not ${format.name}` };
}

/** Scales in the type that the format rounds them to, so that what is stored is what codes were chosen for. */
function scaleTensor(name: string, format: NumberFormat, shape: readonly number[], make: () => Promise<Float32Array>): TensorOut {
  const type = isScaled(format) ? format.scaleType.name : 'f32';
  const part = `${name}.weight_scale`;
  if (type === 'f16') return tensorOut(part, 'f16', shape, async () => halfScales(name, await make()));
  if (type === 'bf16') return tensorOut(part, 'bf16', shape, async () => bytesOf(encodeBf16(await make())));
  return tensorOut(part, 'f32', shape, async () => bytesOf(await make()));
}

/** A row-major tensor made tile by tile. */
function tiled(name: string, type: TensorOut['type'], shape: readonly number[], pass: Pass, bytes: (tile: Quantized) => Uint8Array): TensorOut {
  return {
    ...tensorOut(name, type, shape, () => new Uint8Array()),
    async *chunks() { for await (const tile of pass.tiles()) yield bytes(tile); },
  };
}

function packed(name: string, matrix: QuantizedMatrix): TensorOut[] {
  const { format, rows, cols } = matrix;
  const { bits } = format;
  const groups = groupsOf(format, cols);
  const perWord = 32 / bits;
  const pass = passOver(matrix);
  // One scale for all rows is written once per row: loaders of packed integers know channels and groups.
  const spread = <T extends Float32Array | Uint8Array>(values: T): T => (values.length === rows * groups ? values : values.constructor === Float32Array ? new Float32Array(rows).fill(values[0]) : new Uint8Array(rows).fill(values[0])) as T;
  return [
    tensorOut(`${name}.weight_shape`, 'i64', [2], () => bytesOf(BigInt64Array.of(BigInt(rows), BigInt(cols)))),
    tiled(`${name}.weight_packed`, 'i32', [rows, Math.ceil(cols / perWord)], pass, (tile) => {
      const grouped = packing.groupedCodes(tile, bits, groups);
      return bytesOf(packing.packQuantized(grouped.codes, grouped.rows, cols, bits));
    }),
    scaleTensor(name, format, [rows, groups], async () => spread((await pass.scales()).scales)),
    ...(isAsymmetric(format) ? [tensorOut(`${name}.weight_zero_point`, 'i32', [Math.ceil(rows / perWord), groups], async () =>
      bytesOf(packing.packQuantizedZeros(spread((await pass.scales()).zeros!), rows, groups, bits)))] : []),
  ];
}

function plain(name: string, matrix: QuantizedMatrix, type: 'i8' | 'f8_e4m3'): TensorOut[] {
  const { format, rows, cols } = matrix;
  const pass = passOver(matrix);
  const granularity = granularityOf(format)!;
  const { shape } = tilingOf(granularity, rows, cols);
  return [
    tiled(`${name}.weight`, type, [rows, cols], pass, ({ codes }) => bytesOf(codes)),
    scaleTensor(name, format, granularity.kind === 'tensor' ? [1] : shape, async () => (await pass.scales()).scales),
  ];
}

function fp4(name: string, matrix: QuantizedMatrix, kind: 'nvfp4-pack-quantized' | 'mxfp4-pack-quantized'): TensorOut[] {
  const { rows, cols } = matrix;
  const pass = passOver(matrix);
  const codes = tiled(`${name}.weight_packed`, 'u8', [rows, cols / 2], pass, (tile) => packing.packFp4(bytesOf(tile.codes), cols));
  if (kind === 'mxfp4-pack-quantized') return [codes, tensorOut(`${name}.weight_scale`, 'u8', [rows, cols / 32], async () => packing.scalesToE8M0((await pass.scales()).scales))];
  return [
    codes,
    tensorOut(`${name}.weight_scale`, 'f8_e4m3', [rows, cols / 16], async () => packing.scalesToE4M3((await pass.scales()).scales)),
    // A divisor, unlike the multiplier of other tools.
    tensorOut(`${name}.weight_global_scale`, 'f32', [1], async () => bytesOf(Float32Array.of(packing.nvfp4GlobalScales(await pass.scales()).weight_global_scale))),
  ];
}

/** The argument block of the weights. */
function weightArguments(format: NumberFormat, kind: Kind): Record<string, unknown> {
  const common = { dynamic: false, actorder: null, observer: null, observer_kwargs: {}, block_structure: null };
  switch (kind) {
    case 'nvfp4-pack-quantized': return { ...common, num_bits: 4, type: 'float', symmetric: true, strategy: 'tensor_group', group_size: 16 };
    case 'mxfp4-pack-quantized': return { ...common, num_bits: 4, type: 'float', symmetric: true, strategy: 'group', group_size: 32, scale_dtype: 'torch.uint8', zp_dtype: 'torch.uint8' };
    default: {
      const granularity = granularityOf(format)!;
      const size = granularity.kind === 'group' ? granularity.size : null;
      const strategy = granularity.kind === 'tensor' && kind === 'pack-quantized' ? 'channel' : granularity.kind;
      return {
        ...common, num_bits: format.bits, type: kind === 'float-quantized' ? 'float' : 'int', symmetric: !isAsymmetric(format), strategy, group_size: size,
        ...(granularity.kind === 'block' ? { block_structure: [granularity.rows, granularity.cols] } : {}),
      };
    }
  }
}

/** Activations rounded token by token as they come. */
const dynamicTokens = (type: 'int' | 'float'): Record<string, unknown> => ({
  num_bits: 8, type, symmetric: true, strategy: 'token', group_size: null, dynamic: true, actorder: null, observer: null, observer_kwargs: {}, block_structure: null,
});

const kindOrThrow = (format: NumberFormat, activations: Activations): Kind => {
  const kind = kindOf(format, activations);
  if (typeof kind !== 'string') throw new TypeError(kind.refused);
  return kind;
};

export const compressedLayout: Layout = {
  refuses(format, activations, _rows, cols) {
    const kind = kindOf(format, activations);
    if (typeof kind !== 'string') return kind.refused;
    const granularity = granularityOf(format);
    if (granularity?.kind === 'group' && cols % granularity.size !== 0) return `compressed-tensors needs an input width divisible by the group of ${granularity.size}, got ${cols}`;
    return undefined;
  },
  refusesOwn: () => undefined,
  tensors(name, matrix, activations) {
    const kind = kindOrThrow(matrix.format, activations);
    switch (kind) {
      case 'pack-quantized': return packed(name, matrix);
      case 'int-quantized': return plain(name, matrix, 'i8');
      case 'float-quantized': return plain(name, matrix, 'f8_e4m3');
      default: return fp4(name, matrix, kind);
    }
  },
  config(format, activations, left, own) {
    const others = new Map<string, { readonly format: NumberFormat; readonly targets: string[] }>();
    for (const [layer, one] of own) (others.get(one.name) ?? others.set(one.name, { format: one, targets: [] }).get(one.name)!).targets.push(layer);
    // Loaders look for a layer's own name before its class.
    const groups = [{ format, targets: ['Linear'] }, ...others.values()].map((group) => ({ ...group, kind: kindOrThrow(group.format, activations) }));
    const mixed = groups.some(({ kind }) => kind !== groups[0].kind);
    return {
      quant_method: 'compressed-tensors', format: mixed ? 'mixed-precision' : groups[0].kind, quantization_status: 'compressed', global_compression_ratio: null, kv_cache_scheme: null,
      ignore: ['lm_head', ...left],
      config_groups: Object.fromEntries(groups.map(({ format: one, targets, kind }, i) => [`group_${i}`, {
        targets, weights: weightArguments(one, kind), output_activations: null,
        input_activations: activations === 'dynamic' ? dynamicTokens(kind === 'float-quantized' ? 'float' : 'int') : null,
        ...(mixed ? { format: kind } : {}),
      }])),
    };
  },
};
