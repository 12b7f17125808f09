/** Stored weights as a graph wants them: float32, and matrices turned to [in, out]. Views compute while they are read. */
import { decodeBlocks } from '../formats/ggml/index.ts';
import { blockTypes, byteLengthOf, isBlockType, type TensorRef } from '../tensor-ref.ts';
import { readFloats } from '../graph/values.ts';

const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Values `[begin, end)` of a tensor of any float or block type; only the blocks that hold them are decoded. */
async function readValues(tensor: TensorRef, begin: number, end: number): Promise<Float32Array> {
  if (!isBlockType(tensor.type)) return readFloats(tensor, begin, end);
  const { block, bytes } = blockTypes[tensor.type];
  const first = Math.floor(begin / block);
  const last = Math.ceil(end / block);
  const values = new Float32Array((last - first) * block);
  decodeBlocks(tensor.type, await tensor.read(first * bytes, last * bytes), values);
  return values.subarray(begin - first * block, end - first * block);
}

/** The tensor as float32, converted while it is read; itself where it is float32 already. */
export function floatView(tensor: TensorRef): TensorRef {
  if (tensor.type === 'f32') return tensor;
  const { name, shape } = tensor;
  const byteLength = byteLengthOf('f32', shape, name);
  return {
    name, type: 'f32', shape, byteLength,
    read: async (begin = 0, end = byteLength) => {
      const first = Math.floor(begin / 4);
      return bytesOf(await readValues(tensor, first, Math.ceil(end / 4))).slice(begin - first * 4, end - first * 4);
    },
  };
}

/** Values of a transposed panel held at a time: 64 MiB. A matrix is passed over once per panel, not once per read. */
const panelValues = 16 * 1024 * 1024;
/** Values read at a time while a panel is filled: 4 MiB. */
const stripeValues = 1024 * 1024;

/** The panel made last, one for all views, so that memory stays bounded however many matrices are read. */
let last: { readonly matrix: TensorRef; readonly top: number; readonly rows: Promise<Float32Array> } | undefined;

/** Columns `[begin, end)` of a float32 matrix as rows. */
async function readColumns(matrix: TensorRef, begin: number, end: number): Promise<Float32Array> {
  const [height, width] = matrix.shape;
  const out = new Float32Array((end - begin) * height);
  const stripe = Math.max(1, Math.floor(stripeValues / width));
  for (let top = 0; top < height; top += stripe) {
    const bottom = Math.min(height, top + stripe);
    const values = await readFloats(matrix, top * width, bottom * width);
    for (let column = begin; column < end; column++) {
      const to = (column - begin) * height;
      for (let i = top, from = column; i < bottom; i++, from += width) out[to + i] = values[from];
    }
  }
  return out;
}

/** The transpose of a matrix as float32; rows of the original are found through `transposeOf`. */
export function transposedView(tensor: TensorRef): TensorRef {
  const matrix = floatView(tensor);
  const [height, width] = matrix.shape;
  const perPanel = Math.max(1, Math.min(width, Math.floor(panelValues / Math.max(1, height))));
  const panel = (top: number): Promise<Float32Array> => {
    if (last?.matrix === matrix && last.top === top) return last.rows;
    const made = { matrix, top, rows: readColumns(matrix, top, Math.min(width, top + perPanel)) };
    last = made;
    // A failed read is not kept: the next one may succeed.
    made.rows.catch(() => { if (last === made) last = undefined; });
    return made.rows;
  };
  return {
    name: tensor.name, type: 'f32', shape: [width, height], byteLength: matrix.byteLength, transposeOf: matrix,
    read: async (begin = 0, end = matrix.byteLength) => {
      const out = new Uint8Array(end - begin);
      const panelBytes = perPanel * height * 4;
      for (let at = begin; at < end;) {
        const index = Math.floor(at / panelBytes);
        const start = index * panelBytes;
        const until = Math.min(end, start + panelBytes);
        out.set(bytesOf(await panel(index * perPanel)).subarray(at - start, until - start), at - begin);
        at = until;
      }
      return out;
    },
  };
}
