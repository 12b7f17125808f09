/**
 * Low-bit safetensors folders as the descriptions of GPTQ, AWQ and compressed-tensors have them: bytes of the file, and the
 * arithmetic of each layout, one value at a time. Shares nothing with the reader in `src/models`, which it judges.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Stored { readonly dtype: string; readonly shape: readonly number[]; readonly view: DataView }

export async function readFolder(folder: string): Promise<{ tensors: Map<string, Stored>; config: Record<string, any> }> {
  const bytes = await readFile(join(folder, 'model.safetensors'));
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  const tensors = new Map<string, Stored>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets: [begin, end] } = entry;
    tensors.set(name, { dtype, shape, view: new DataView(bytes.buffer, bytes.byteOffset + 8 + length + begin, end - begin) });
  }
  return { tensors, config: JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as Record<string, any> };
}

function half(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function fp8(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 7 ? -1 : 1, (bits >> 3) & 15, bits & 7];
  return exponent === 0 ? sign * fraction * 2 ** -9 : sign * (1 + fraction / 8) * 2 ** (exponent - 7);
}

const fp4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

function scaleAt({ dtype, view }: Stored, i: number): number {
  switch (dtype) {
    case 'F16': return half(view.getUint16(i * 2, true));
    case 'F32': return view.getFloat32(i * 4, true);
    case 'F8_E4M3': return fp8(view.getUint8(i));
    case 'U8': return 2 ** (view.getUint8(i) - 127);
    default: throw new Error(dtype);
  }
}

const word = ({ view }: Stored, i: number): number => view.getUint32(i * 4, true);

/** Bit `bit` on of a stream whose words lie `stride` apart. */
function stream(stored: Stored, start: number, stride: number, bit: number, bits: number): number {
  let code = 0;
  for (let b = 0; b < bits; b++) code |= ((word(stored, start + Math.floor((bit + b) / 32) * stride) >>> ((bit + b) % 32)) & 1) << b;
  return code;
}

/** Code minus zero point, and scale, of the value that multiplies input k into output n. */
export type At = (n: number, k: number) => { level: number; scale: number };

export function layer(tensors: ReadonlyMap<string, Stored>, name: string, [N, K]: readonly number[], config: Record<string, any>): At {
  const part = (suffix: string): Stored => {
    const found = tensors.get(`${name}.${suffix}`);
    assert.ok(found !== undefined, `${name}.${suffix} is there`);
    return found;
  };
  const shaped = (suffix: string, dtype: string, shape: readonly number[]): Stored => {
    const found = part(suffix);
    assert.deepEqual([found.dtype, found.shape], [dtype, shape], `${name}.${suffix}`);
    return found;
  };
  const quantization = config.quantization_config as Record<string, any>;
  if (quantization.quant_method === 'gptq') {
    const { bits, group_size: size } = quantization as { bits: number; group_size: number };
    const groups = size === -1 ? 1 : K / size;
    const less = quantization.checkpoint_format === 'gptq' ? 1 : 0;
    const qweight = shaped('qweight', 'I32', [(K * bits) / 32, N]);
    const qzeros = shaped('qzeros', 'I32', [groups, (N * bits) / 32]);
    const scales = shaped('scales', 'F16', [groups, N]);
    const index = shaped('g_idx', 'I32', [K]);
    return (n, k) => {
      const g = word(index, k);
      const zero = stream(qzeros, g * ((N * bits) / 32), 1, n * bits, bits) + less;
      return { level: stream(qweight, n, N, k * bits, bits) - zero, scale: scaleAt(scales, g * N + n) };
    };
  }
  if (quantization.quant_method === 'awq') {
    const size = quantization.group_size === -1 ? K : (quantization.group_size as number);
    const qweight = shaped('qweight', 'I32', [K, N / 8]);
    const qzeros = shaped('qzeros', 'I32', [K / size, N / 8]);
    const scales = shaped('scales', 'F16', [K / size, N]);
    const nibble = [0, 4, 1, 5, 2, 6, 3, 7];
    const code = (stored: Stored, line: number, n: number): number => (word(stored, line * (N / 8) + Math.floor(n / 8)) >>> (4 * nibble[n % 8])) & 15;
    return (n, k) => {
      const g = Math.floor(k / size);
      return { level: code(qweight, k, n) - code(qzeros, g, n), scale: scaleAt(scales, g * N + n) };
    };
  }
  assert.equal(quantization.quant_method, 'compressed-tensors');
  const { num_bits: bits, strategy, group_size: size, block_structure: block } = quantization.config_groups.group_0.weights as Record<string, any>;
  const groups = strategy === 'group' || strategy === 'tensor_group' ? K / (size as number) : 1;
  switch (quantization.format) {
    case 'pack-quantized': {
      const p = 32 / (bits as number);
      const packed = shaped('weight_packed', 'I32', [N, Math.ceil(K / p)]);
      const scales = part('weight_scale');
      assert.deepEqual(scales.shape, [N, groups]);
      const shape = shaped('weight_shape', 'I64', [2]);
      assert.deepEqual([shape.view.getBigInt64(0, true), shape.view.getBigInt64(8, true)], [BigInt(N), BigInt(K)]);
      const zeros = tensors.has(`${name}.weight_zero_point`) ? shaped('weight_zero_point', 'I32', [Math.ceil(N / p), groups]) : undefined;
      const mask = 2 ** (bits as number) - 1;
      return (n, k) => {
        const g = Math.floor((k * groups) / K);
        const zero = zeros === undefined ? 2 ** (bits - 1) : (word(zeros, Math.floor(n / p) * groups + g) >>> (bits * (n % p))) & mask;
        return { level: ((word(packed, n * Math.ceil(K / p) + Math.floor(k / p)) >>> (bits * (k % p))) & mask) - zero, scale: scaleAt(scales, n * groups + g) };
      };
    }
    case 'int-quantized': case 'float-quantized': {
      const isInt = quantization.format === 'int-quantized';
      const weight = shaped('weight', isInt ? 'I8' : 'F8_E4M3', [N, K]);
      const [height, width] = strategy === 'tensor' ? [N, K] : strategy === 'block' ? (block as [number, number]) : [1, K];
      const across = Math.ceil(K / width);
      const scales = shaped('weight_scale', 'F32', strategy === 'tensor' ? [1] : [Math.ceil(N / height), across]);
      return (n, k) => ({
        level: isInt ? weight.view.getInt8(n * K + k) : fp8(weight.view.getUint8(n * K + k)),
        scale: scaleAt(scales, Math.floor(n / height) * across + Math.floor(k / width)),
      });
    }
    case 'nvfp4-pack-quantized': case 'mxfp4-pack-quantized': {
      const nv = quantization.format === 'nvfp4-pack-quantized';
      const packed = shaped('weight_packed', 'U8', [N, K / 2]);
      const scales = shaped('weight_scale', nv ? 'F8_E4M3' : 'U8', [N, groups]);
      const divisor = nv ? scaleAt(shaped('weight_global_scale', 'F32', [1]), 0) : 1;
      return (n, k) => {
        const nibble = (packed.view.getUint8(n * (K / 2) + (k >> 1)) >> (4 * (k & 1))) & 15;
        return { level: (nibble & 8 ? -1 : 1) * fp4[nibble & 7], scale: scaleAt(scales, n * groups + Math.floor((k * groups) / K)) / divisor };
      };
    }
    default: throw new Error(String(quantization.format));
  }
}
