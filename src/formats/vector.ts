/**
 * Pairs of neighbouring columns as one of 2^m points for a standard normal in the plane, one scale per row: m/2 bits a
 * weight. Codes lie row after row, each row on whole bytes, first pair in the lowest bits; a last single column counts as
 * the first of a pair.
 */
import { encodeBlocks, type BlockFormat } from './column-blocks.ts';
import { gaussianPoints, nearestPoint } from './gaussian-vectors.ts';
import { rowScales, rowScaleType } from './gaussian-scale.ts';
import { packWide, unpackWide } from './packing/wide.ts';
import { errors } from './scaled.ts';

/** `pointBits`: 3 to 12. */
export function vectorFormat(pointBits: number): BlockFormat {
  const name = `vq${pointBits / 2}`;
  const points = () => gaussianPoints(2 ** pointBits);
  const pairsOf = (cols: number): number => Math.ceil(cols / 2);
  const rowBytes = (cols: number): number => Math.ceil((pairsOf(cols) * pointBits) / 8);
  const format: BlockFormat = {
    name, family: 'codebook', bits: pointBits / 2, group: Infinity,
    bitsPerWeight: (rows, cols) => (8 * rows * rowBytes(cols) + rowScaleType.bits * rows) / Math.max(1, rows * cols),
    refuses: () => undefined,
    fit: (values, rows, cols) => rowScales(values, rows, cols),
    coder(scales, rows, cols) {
      const pairs = pairsOf(cols);
      const chosen = new Uint16Array(rows * pairs);
      const { x, y } = points();
      return {
        encode(values, first, width) {
          const decoded = new Float32Array(values.length);
          for (let r = 0; r < rows; r++) {
            const scale = scales[r];
            for (let c = 0; c < width; c += 2) {
              const i = r * width + c;
              const single = c + 1 === width;
              const k = scale === 0 ? 0 : nearestPoint(points(), values[i] / scale, single ? 0 : values[i + 1] / scale);
              chosen[r * pairs + (first + c) / 2] = k;
              decoded[i] = scale * x[k];
              if (!single) decoded[i + 1] = scale * y[k];
            }
          }
          return decoded;
        },
        get codes() {
          const out = new Uint8Array(rows * rowBytes(cols));
          for (let r = 0; r < rows; r++) packWide(chosen.subarray(r * pairs, (r + 1) * pairs), pointBits, out, r * rowBytes(cols));
          return out;
        },
      };
    },
    encode: (values, rows, cols, options) => encodeBlocks(format, values, rows, cols, options),
    decode({ rows, cols, codes, scales }) {
      if (codes.length !== rows * rowBytes(cols)) throw errors.codesMismatch({ format: name, length: codes.length, rows, cols });
      const { x, y } = points();
      const out = new Float32Array(rows * cols);
      for (let r = 0; r < rows; r++) {
        const chosen = unpackWide(codes as Uint8Array, pointBits, r * rowBytes(cols), pairsOf(cols));
        for (let c = 0; c < cols; c++) out[r * cols + c] = scales[r] * (c & 1 ? y : x)[chosen[c >> 1]];
      }
      return out;
    },
  };
  return format;
}

