/** Plain floats as formats: f32, f16, bf16. Codes are the little-endian bytes; no scales. */
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from '../numeric/half.ts';
import { squaredDistance } from '../numeric/statistics.ts';
import type { EncodeOptions, NumberFormat, Quantized } from './format.ts';
import { checkInput, errors } from './scaled.ts';

interface FloatCodec {
  /** Bit patterns of values. */
  readonly encode: (values: Float32Array) => Uint16Array | Float32Array;
  readonly decode: (bytes: Uint8Array) => Float32Array;
  /** Magnitudes that round beyond the largest finite value. */
  readonly overflow: number;
}

const halves = (bytes: Uint8Array) => new Uint16Array(bytes.slice().buffer);

function floatFormat(name: string, bits: number, codec: FloatCodec): NumberFormat {
  const decode = (quantized: Quantized): Float32Array => {
    const { rows, cols, codes } = quantized;
    if (codes.length !== (rows * cols * bits) / 8) throw errors.codesMismatch({ format: name, length: codes.length, rows, cols });
    return codec.decode(new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength));
  };
  return {
    name, family: 'float', bits, group: Infinity,
    bitsPerWeight: () => bits,
    refuses: () => undefined,
    encode(values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): Quantized {
      checkInput(values, rows, cols, options);
      const index = values.findIndex((x) => Math.abs(x) >= codec.overflow);
      if (index >= 0) throw errors.overflow({ name: options.name ?? 'unnamed', index, value: values[index], type: name });
      const words = codec.encode(values);
      const codes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
      const quantized: Quantized = { format: name, rows, cols, codes, scales: new Float32Array(0), scaleShape: [0, 0], squaredError: 0 };
      return bits === 32 ? quantized : { ...quantized, squaredError: squaredDistance(decode(quantized), values) };
    },
    decode,
  };
}

export const floatFormats = {
  f32: floatFormat('f32', 32, { encode: (v) => v.slice(), decode: (bytes) => new Float32Array(bytes.slice().buffer), overflow: Infinity }),
  f16: floatFormat('f16', 16, { encode: (v) => encodeF16(v), decode: (bytes) => decodeF16(halves(bytes)), overflow: 65520 }),
  bf16: floatFormat('bf16', 16, { encode: (v) => encodeBf16(v), decode: (bytes) => decodeBf16(halves(bytes)), overflow: 3.3961775292304957e38 }),
} as const;
