/** Tensor data kept as varints (int32_data, int64_data, uint64_data), decoded while it is read. */
import { onnxErrors as errors } from './onnx-errors.ts';
import type { Range } from './onnx-tensor.ts';
import type { ByteSource } from './source.ts';
import { elementTypes, type ElementType, type TensorRef } from '../tensor-ref.ts';

/** Bytes fetched at a time: a few hundred thousand values. */
const windowBytes = 1024 * 1024;

/** Smallest and largest entry that may stand for a value of a type of up to 32 bits. */
function entryRange(type: ElementType): readonly [number, number] {
  switch (type) {
    case 'i32': return [-(2 ** 31), 2 ** 31 - 1];
    case 'i16': return [-(2 ** 15), 2 ** 15 - 1];
    case 'i8': return [-128, 127];
    case 'u16': case 'f16': case 'bf16': return [0, 65535];
    case 'u32': return [0, 2 ** 32 - 1];
    case 'bool': return [0, 1];
    case 'i4': case 'i2': return [-128, 255];
    default: return [0, 255];
  }
}

/** Where decoding stands: entry `index` begins at byte `at` of piece `piece`. */
interface Cursor { index: number; piece: number; at: number }

/**
 * The `read` of a tensor over `pieces` of a file. Reading in order is linear: each call goes on where
 * the last one stopped; a step back starts at the beginning.
 */
export function varintReader(source: ByteSource, name: string, type: ElementType, byteLength: number, pieces: readonly Range[]): TensorRef['read'] {
  // A sub-byte type has one entry per packed byte.
  const entryBytes = Math.max(1, elementTypes[type].bits / 8);
  const [least, most] = entryRange(type);
  let resume: Cursor = { index: 0, piece: 0, at: 0 };

  const read = async (begin: number, end: number): Promise<Uint8Array> => {
    const first = Math.floor(begin / entryBytes);
    const last = Math.ceil(end / entryBytes);
    const out = new Uint8Array((last - first) * entryBytes);
    const view = new DataView(out.buffer);
    let { index, piece, at } = resume.index <= first ? resume : { index: 0, piece: 0, at: 0 };
    while (index < last) {
      const { begin: from, end: to } = pieces[piece];
      const start = from + at;
      const window = await source.read(start, Math.min(to, start + windowBytes));
      let used = 0;
      while (index < last) {
        const before = used;
        let low = 0;
        let high = 0;
        let shift = 0;
        let whole = false;
        while (used < window.byteLength && shift < 70) {
          const byte = window[used++];
          const bits = byte & 0x7f;
          if (shift < 28) low |= bits << shift;
          else if (shift === 28) { low |= bits << 28; high |= bits >>> 4; }
          else high |= bits << (shift - 32);
          shift += 7;
          if (byte < 0x80) { whole = true; break; }
        }
        if (!whole) {
          if (shift >= 70 || before === 0) throw errors.dataRange({ file: source.name, name, value: Infinity, type });
          used = before;
          break;
        }
        if (index >= first) {
          const offset = (index - first) * entryBytes;
          if (entryBytes === 8) {
            view.setUint32(offset, low >>> 0, true);
            view.setUint32(offset + 4, high >>> 0, true);
          } else {
            // Negative entries are sign-extended to 64 bits; some writers stop at 32.
            const signed = high === 0 && least < 0 ? low | 0 : (high | 0) * 2 ** 32 + (low >>> 0);
            if (signed < least || signed > most) throw errors.dataRange({ file: source.name, name, value: signed, type });
            if (entryBytes === 4) view.setUint32(offset, low >>> 0, true);
            else if (entryBytes === 2) view.setUint16(offset, low & 0xffff, true);
            else view.setUint8(offset, low & 0xff);
          }
        }
        index++;
      }
      at += used;
      if (from + at >= to) { piece++; at = 0; }
    }
    resume = { index, piece, at };
    return out.subarray(begin - first * entryBytes, end - first * entryBytes);
  };
  return (begin = 0, end = byteLength) => read(begin, end);
}
