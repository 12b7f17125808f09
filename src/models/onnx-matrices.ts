/**
 * Matrices of fewbit's own ONNX files read back, by the names that the export gives to their tensors and the format that the
 * file's note names: MatMulNBits, MatMulInteger, tables of levels, trellises, floats.
 */
import { isBlockFormat } from '../formats/column-blocks.ts';
import type { MatrixCodes } from '../formats/coded.ts';
import type { NumberFormat } from '../formats/format.ts';
import { packing } from '../formats/index.ts';
import { isNested, nestedScale, type NestedFormat } from '../formats/nested-normal-float.ts';
import { isRotated, rotatedBack } from '../formats/rotated.ts';
import { isScaled, type ScaledFormat } from '../formats/scaled.ts';
import { isTrellisFormat } from '../formats/trellis/trellis.ts';
import { intOf } from '../graph/attributes.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { isFloatType, lazyTensor, readFloats } from '../graph/values.ts';
import { elementTypes, type ElementType, type TensorRef } from '../tensor-ref.ts';
import { codedTensor } from './coded-tensor.ts';
import { transposedView } from './weight-views.ts';

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);

/** The matrix [rows, cols] of a name, or undefined where the file holds it in a way that is not read back. `product` is the node that multiplies it, or looks rows up in it. */
export function onnxMatrix(graph: Graph, id: string, [rows, cols]: readonly [number, number], format: NumberFormat | undefined, product: Node | undefined): TensorRef | undefined {
  const { weights } = graph;
  const coded = (read: () => Promise<MatrixCodes>): TensorRef => codedTensor(id, [rows, cols], read);
  const plain = weights.get(id);
  if (plain !== undefined) {
    if (plain.shape.length !== 2 || !isFloatType(plain.type)) return undefined;
    return { ...(product?.op === 'Gather' ? plain : transposedView(plain)), name: id };
  }
  const scale = weights.get(`${id}_scale`);
  if (product?.op === 'MatMulNBits' || product?.op === 'GatherBlockQuantized') {
    const [bits, block] = [intOf(product, 'bits', 0), intOf(product, 'block_size', 0)];
    const [codes, zero] = [weights.get(`${id}_q${bits}`), weights.get(`${id}_zero`)];
    return codes === undefined || scale === undefined ? undefined : packedMatrix(id, { codes, scale, zero }, { N: rows, K: cols, bits, block });
  }
  const bytes = weights.get(`${id}_quantized`);
  if (bytes?.type === 'i8' && scale !== undefined) {
    return coded(async () => {
      const [stored, scales] = [await bytes.read(), await readFloats(scale)];
      return { bits: 8, codes: Uint8Array.from({ length: rows * cols }, (_, i) => stored[(i % cols) * rows + Math.floor(i / cols)] ^ 128), group: cols, scales: scales.length === rows ? scales : new Float32Array(rows).fill(scales[0]) };
    });
  }
  const grouped = weights.get(`${id}_q`);
  if (grouped !== undefined && scale !== undefined && /^[iu][2-8]$/.test(grouped.type)) return lazyTensor(id, 'f32', [rows, cols], async () => bytesOf(await integersOf(graph, id, [rows, cols], format)));
  if (format === undefined || scale === undefined) return undefined;
  if (isRotated(format)) {
    const turned = onnxMatrix(graph, id, [rows, cols], format.inner, product);
    if (turned === undefined) return undefined;
    return { ...lazyTensor(id, 'f32', [rows, cols], async () => bytesOf(rotatedBack(await readFloats(turned), rows, cols))), ...(turned.coded === undefined ? {} : { coded: { ...turned.coded, rotated: true } }) };
  }
  if (isBlockFormat(format)) {
    const read = async () => ({ codes: await blockCodes(graph, id, format, rows, cols), scales: await readFloats(scale) });
    const values = lazyTensor(id, 'f32', [rows, cols], async () => bytesOf(format.decode({ format: format.name, rows, cols, ...await read(), scaleShape: [rows, 1], squaredError: 0 })));
    return isTrellisFormat(format) ? { ...values, coded: { read: async () => undefined, trellis: async () => ({ format, ...await read() }) } } : values;
  }
  const [codes, levels] = [weights.get(`${id}_codes`), weights.get(`${id}_levels`)];
  if (!isScaled(format) || codes === undefined || levels === undefined) return undefined;
  return coded(() => tableCodes(graph, id, [rows, cols], format));
}

/** The matrix [N, K] that MatMulNBits multiplies by, or GatherBlockQuantized looks rows up in: codes in groups of `block` columns, their scales, and zero points where there are any. */
export function packedMatrix(name: string, { codes, scale, zero }: { readonly codes: TensorRef; readonly scale: TensorRef; readonly zero: TensorRef | undefined }, layout: { readonly N: number; readonly K: number; readonly bits: number; readonly block: number }): TensorRef {
  const { N, K, bits, block } = layout;
  return codedTensor(name, [N, K], async () => ({
    bits, codes: packing.unpackMatMulNBits(await codes.read(), layout), group: block, scales: await readFloats(scale),
    ...(zero === undefined ? {} : { zeros: packing.unpackZeroPoints(await zero.read(), layout) }),
  }));
}

/** (code − zero point) · scale of integers that the file holds one by one, with scales of rows or of groups of their columns. */
async function integersOf({ weights }: Graph, id: string, [rows, cols]: readonly [number, number], format: NumberFormat | undefined): Promise<Float32Array> {
  const [held, scale, zero] = [weights.get(`${id}_q`)!, weights.get(`${id}_scale`)!, weights.get(`${id}_zero`)];
  const [codes, scales, zeros] = [await integers(held), await readFloats(scale), zero === undefined ? undefined : await integers(zero)];
  const groups = scales.length / rows;
  const width = format !== undefined && isScaled(format) && format.granularity.kind === 'group' ? format.granularity.size : cols;
  return Float32Array.from(codes, (code, i) => {
    const at = scales.length === 1 ? 0 : Math.floor(i / cols) * groups + Math.floor((i % cols) / width);
    return (code - (zeros?.[at] ?? 0)) * scales[at];
  });
}

/** Integers of 2 to 8 bits, the low bits of a byte first. */
async function integers(tensor: TensorRef): Promise<Int16Array> {
  const { bits } = elementTypes[tensor.type as ElementType];
  const codes = packing.unpackLowFirst(await tensor.read(), sizeOf(tensor.shape), bits);
  const signed = tensor.type.startsWith('i') ? 2 ** (bits - 1) : Infinity;
  return Int16Array.from(codes, (code) => (code >= signed ? code - 2 ** bits : code));
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

/** Packed bytes of a trellis, whose runs of tiles lie in tensors of their own, or of vectors. */
async function blockCodes({ weights }: Graph, id: string, format: NumberFormat, rows: number, cols: number): Promise<Uint8Array> {
  if (!isTrellisFormat(format)) return weights.get(`${id}_codes`)!.read();
  const { strips, runs, stripBytes } = format.layout(rows, cols);
  const out = new Uint8Array(strips * stripBytes);
  let before = 0;
  for (const [i, { tiles, tileBytes }] of runs.entries()) {
    const bytes = await weights.get(i === 0 ? `${id}_codes` : `${id}_codes_${i}`)!.read();
    const width = tiles * tileBytes;
    for (let strip = 0; strip < strips; strip++) out.set(bytes.subarray(strip * width, (strip + 1) * width), strip * stripBytes + before);
    before += width;
  }
  return out;
}

/** Codes [rows, runs of eight, bits], levels, and scales as floats or as bytes that stand for floats, lifted by one for the whole tensor. */
async function tableCodes({ weights }: Graph, id: string, [rows, cols]: readonly [number, number], format: ScaledFormat): Promise<MatrixCodes> {
  const { granularity, scaleType: { byte } } = format;
  const [codes, scale, zero, lift] = [weights.get(`${id}_codes`)!, weights.get(`${id}_scale`)!, weights.get(`${id}_zero`), weights.get(`${id}_tensor_scale`)];
  const [, runs, bits] = codes.shape;
  const unpacked = packing.unpackLowFirst(await codes.read(), rows * runs * 8, bits);
  const own = runs * 8 === cols ? unpacked : Uint8Array.from({ length: rows * cols }, (_, i) => unpacked[Math.floor(i / cols) * runs * 8 + (i % cols)]);
  const by = lift === undefined ? 1 : (await readFloats(lift))[0];
  // The last group may be short.
  const group = granularity.kind === 'group' || granularity.kind === 'flat' ? granularity.size : granularity.kind === 'block' ? granularity.cols : cols;
  const stored = isNested(format) ? await nestedScales(weights, id, format, rows * Math.ceil(cols / group)) : scale.type === 'u8' && byte !== undefined ? Float32Array.from(await scale.read(), byte.decode) : await readFloats(scale);
  const levels = await readFloats(weights.get(`${id}_levels`)!);
  const zeros = zero === undefined ? undefined : Float32Array.from(await zero.read());
  // Codes with zero points stand for themselves.
  return { bits, codes: own, ...(zeros === undefined ? { levels } : { zeros }), group, scales: stored.map((value) => value * by) };
}

/** Scales that are codes themselves, in blocks of their own. */
async function nestedScales(weights: Graph['weights'], id: string, { nested: { bits, block } }: NestedFormat, count: number): Promise<Float32Array> {
  const [codes, largest, [offset]] = [await weights.get(`${id}_scale_codes`)!.read(), await readFloats(weights.get(`${id}_scale`)!), await readFloats(weights.get(`${id}_scale_offset`)!)];
  return Float32Array.from(packing.unpackLowFirst(codes, count, bits), (code, i) => nestedScale(code, largest[Math.floor(i / block)], 2 ** bits - 1, offset));
}
