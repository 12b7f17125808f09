/** Matrix products on WebGPU, in every layout, beside the plain twins of the WASM kernels and sums in float64; and embeddings. */
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { panelRows } from '../../src/engine/kernels/lowbit.ts';
import { encodeTrellisFast } from '../../src/engine/kernels/trellis.ts';
import { embed } from '../../src/engine/webgpu/embed.ts';
import type { Gpu } from '../../src/engine/webgpu/gpu.ts';
import { groupSize, inputBytes, type InputKind } from '../../src/engine/webgpu/inputs.ts';
import { isLowBit, type MatrixLayout } from '../../src/engine/webgpu/matrix-layout.ts';
import { matrixTiles, type TileShape } from '../../src/engine/webgpu/matrix-tiles.ts';
import { matrixVector, type Product } from '../../src/engine/webgpu/matrix-vector.ts';
import { roundInputs } from '../../src/engine/webgpu/round-inputs.ts';
import { readFloats } from '../../src/files/values.ts';
import { encodeBlocks as encodeColumns } from '../../src/formats/column-blocks.ts';
import { encodeBlocks } from '../../src/formats/ggml/index.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import type { TrellisFormat } from '../../src/formats/trellis/trellis.ts';
import { codedTensor } from '../../src/models/coded-tensor.ts';
import { encodeF16, roundToF16 } from '../../src/numeric/half.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { multiply, packMatrix, takeRounded } from '../../src/runtime/packed-matrix.ts';
import { inCodes } from '../../src/runtime/text-model.ts';
import { laidMatrix, uploadMatrix, type GpuMatrix } from '../../src/runtime/webgpu-matrix.ts';
import { floatTensor, memoryTensor, type BlockType, type TensorRef } from '../../src/tensor-ref.ts';
import { apart, floatBound, random, type Case } from './webgpu-cases.ts';

/** Inputs and weights in half precision, and sums of 32 products, each step rounded to 2⁻¹¹ of itself. */
const halfBound = 1e-2;

type WeightType = BlockType | 'f32' | 'f16';
const weightTypes: readonly WeightType[] = ['q4_0', 'q4_1', 'q4_k', 'q5_0', 'q5_1', 'q5_k', 'q6_k', 'q8_0', 'f16', 'f32'];
/** Blocks of tables and of two and three bits. */
const fewBitTypes: readonly (readonly [type: BlockType, cols: number, layout: MatrixLayout])[] = [
  ['iq4_nl', 96, 'table'], ['iq4_xs', 256, 'table-float'], ['mxfp4', 96, 'table-float'], ['nvfp4', 64, 'table-halves'], ['q2_k', 512, 'two-fine'], ['q3_k', 256, 'three-fine'], ['tq2_0', 256, 'two-fine'],
];

function matrixOf(type: WeightType, rows: number, cols: number, seed = 1): TensorRef {
  const values = random(seed, rows * cols, 0.05);
  if (type === 'f32') return floatTensor('w', [rows, cols], values);
  if (type === 'f16') return memoryTensor('w', 'f16', [rows, cols], new Uint8Array(encodeF16(values).buffer));
  return memoryTensor('w', type, [rows, cols], encodeBlocks(type, values, rows, cols));
}

/** Codes of formats with groups of columns, and the layouts that hold them: half scales, minima, channels whose last group is not full, groups that stay float. */
type CodedTypes = readonly (readonly [format: string, cols: number, layout: MatrixLayout])[];
const integerTypes: CodedTypes = [
  ['int4/g32@f16', 96, 'four'], ['int4/g64', 192, 'four-minima'], ['uint4/g32', 96, 'four-minima'],
  ['int8/channel@f16', 84, 'eight'], ['int8/g32', 96, 'eight-minima'], ['uint5/g96', 192, 'eight-minima'], ['e2m1/g24', 96, 'float'],
];
/** Fewer bits, and tables: of small integers, of others, and integers in groups of 16. */
const fewBitFormats: CodedTypes = [
  ['int3/g32', 96, 'three-minima'], ['int3/g32@f16', 96, 'three'], ['uint2/channel', 84, 'two-minima'], ['int2/g32@f16', 64, 'two'], ['e2m1/g64', 128, 'table-float'], ['int4/g16@f16', 96, 'table-halves'], ['int8/g16', 96, 'eight-halves'],
  ['nf4/g64', 128, 'wide-float'], ['nf4/g84, half scales', 84, 'wide'], ['nf4/g16', 96, 'wide-float-halves'], ['nf4/g16, half scales', 96, 'wide-halves'], ['nvfp4', 96, 'table-float-halves'],
];

/** Scales of tables, which have no type of their own, are rounded to halves where the name says so. */
function codedMatrix(name: string, rows: number, cols: number): TensorRef {
  const [format, halved] = name.split(', ');
  const tensor = inCodes(floatTensor('w', [rows, cols], random(1, rows * cols, 0.05)), parseFormat(format));
  return halved === undefined ? tensor : codedTensor('w', [rows, cols], async () => { const codes = (await tensor.coded!.read())!; return { ...codes, scales: roundToF16(codes.scales) }; });
}

/** Pairs, sums of bytes and of halves, in one width and in two. */
const trellises: readonly string[] = ['tcq2', 'tcq3.25', 'tcq4.25', 'tcq2/l10@3inst'];

function trellisMatrix(spelling: string, rows: number, cols: number): TensorRef {
  const format = parseFormat(spelling) as TrellisFormat;
  const quantized = encodeColumns(format, random(1, rows * cols, 0.05), rows, cols, {}, encodeTrellisFast);
  return { ...floatTensor('w', [rows, cols], format.decode({ ...quantized, format: format.name })), coded: { read: async () => undefined, trellis: async () => ({ format, codes: quantized.codes as Uint8Array, scales: quantized.scales }) } };
}

/** Results of the twins: inputs rounded, as the WASM kernels take them. */
async function expectedProduct(tensor: TensorRef, x: Float32Array, tokens: number): Promise<Float32Array> {
  const [rows, cols] = tensor.shape;
  const groups = Math.ceil(cols / groupSize);
  const arena = new Arena();
  const matrix = await packMatrix(tensor, arena);
  const stride = matrix.panels * panelRows;
  const [at, out] = [arena.take(4 * x.length), arena.take(4 * tokens * stride)];
  const rounded = takeRounded(arena, tokens, groups * groupSize);
  arena.floats(at, x.length).set(x);
  const kernels = plainLowBit(arena.memory);
  kernels.roundInputs(at, tokens * groups, rounded);
  multiply(kernels, matrix, { x: at, rounded }, tokens, out, stride);
  const all = arena.floats(out, tokens * stride);
  return Float32Array.from({ length: tokens * rows }, (_, i) => all[Math.floor(i / rows) * stride + (i % rows)]);
}

/** Products with inputs that are not rounded, by the decoded weights, in float64: as integers, levels of a table may be off by 2⁻¹². */
async function floatProduct(tensor: TensorRef, x: Float32Array, tokens: number): Promise<Float32Array> {
  const [rows, cols] = tensor.shape;
  const wide = Math.ceil(cols / groupSize) * groupSize;
  const weights = await readFloats(tensor);
  const out = new Float32Array(tokens * rows);
  for (let r = 0; r < rows; r++) {
    for (let t = 0; t < tokens; t++) {
      let sum = 0;
      for (let c = 0; c < cols; c++) sum += weights[r * cols + c] * x[t * wide + c];
      out[t * rows + r] = sum;
    }
  }
  return out;
}

/** Inputs of products on the device, made by the kernel that makes them. */
function deviceInputs(gpu: Gpu, kind: InputKind, x: Float32Array): GPUBuffer[] {
  const groups = x.length / groupSize;
  const made = inputBytes[kind].map((bytes) => gpu.buffer('inputs', groups * bytes));
  gpu.run([gpu.step(roundInputs(kind, gpu.able), [gpu.buffer('x', x), ...made], Math.ceil(groups / 64))]);
  return made;
}

function tileOf(kind: InputKind): TileShape {
  const own = kind === 'rounded' ? 2 : 4;
  return { tokens: 16, rows: 32, ownTokens: own, ownRows: own, stage: 2 };
}

/** A matrix with its name, and the layout that it is expected to take. */
type Named = readonly [name: string, tensor: TensorRef, layout?: MatrixLayout];
const productRows = 70;
const codedMatrices = (types: CodedTypes): Named[] => types.map(([format, cols, layout]) => [format, codedMatrix(format, productRows, cols), layout]);

export async function products(gpu: Gpu, cases: Case[]): Promise<void> {
  // A last group that is not full where the type allows it.
  const blocks = weightTypes.map((type): Named => [type, matrixOf(type, productRows, type.endsWith('_k') ? 256 : type === 'f32' || type === 'f16' ? 84 : 96)]);
  await productsOf(gpu, cases, [...blocks, ...codedMatrices(integerTypes)]);
  await biasAndSum(gpu, cases);
}

export const fewBitProducts = (gpu: Gpu, cases: Case[]): Promise<void> =>
  productsOf(gpu, cases, [...fewBitTypes.map(([type, cols, layout]): Named => [type, matrixOf(type, productRows, cols), layout]), ...codedMatrices(fewBitFormats)]);

export const trellisProducts = (gpu: Gpu, cases: Case[]): Promise<void> =>
  productsOf(gpu, cases, trellises.map((format): Named => [format, trellisMatrix(format, productRows, 80), 'trellis']));

async function productsOf(gpu: Gpu, cases: Case[], matrices: readonly Named[]): Promise<void> {
  const rows = productRows;
  for (const [type, tensor, layout] of matrices) {
    const [, cols] = tensor.shape;
    const groups = Math.ceil(cols / groupSize);
    const matrix = await uploadMatrix(gpu, [await laidMatrix(tensor)]);
    if (layout !== undefined && matrix.layout !== layout) throw new Error(`${type} lies as ${matrix.layout}`);
    const kinds = (['float', 'half', 'rounded'] as const).filter((kind) => (kind !== 'half' || gpu.able.half) && (kind !== 'rounded' || isLowBit(matrix.layout)));
    for (const inputs of kinds) {
      const product: Product = { layout: matrix.layout, rows, groups, stride: rows + 3, offset: 2, inputs, bias: false, add: false };
      for (const tokens of type === 'q4_0' ? [1, 3, 24] : [1, 24]) {
        const x = new Float32Array(32 * groups * groupSize);
        for (let t = 0; t < tokens; t++) x.set(random(2 + t, cols), t * groups * groupSize);
        const out = gpu.buffer('results', 4 * 32 * product.stride);
        const buffers = [...matrix.buffers, ...deviceInputs(gpu, inputs, x), out];
        const tile = tileOf(inputs);
        gpu.run([tokens <= 8 ? gpu.step(matrixVector(product, { tokens, rows: 2, threads: 32 }, gpu.able), buffers, Math.ceil(rows / 2))
          : gpu.step(matrixTiles(product, tile, gpu.able), buffers, Math.ceil(rows / tile.rows), Math.ceil(tokens / tile.tokens))]);
        const all = new Float32Array(await gpu.read(out, 4 * tokens * product.stride));
        const got = Float32Array.from({ length: tokens * rows }, (_, i) => all[Math.floor(i / rows) * product.stride + 2 + (i % rows)]);
        const expected = inputs === 'rounded' ? await expectedProduct(tensor, x.subarray(0, tokens * groups * groupSize), tokens) : await floatProduct(tensor, x, tokens);
        cases.push({ name: `${type} × ${tokens} tokens, inputs ${inputs}`, error: apart(got, expected), bound: inputs === 'half' ? halfBound : floatBound });
      }
    }
    const found = gpu.buffer('x', 4 * 2 * groups * groupSize);
    gpu.run([gpu.step(embed(matrix.layout, groups), [...matrix.buffers, gpu.buffer('ids', Uint32Array.of(69, 3)), found], 1, 2)]);
    const all = new Float32Array(await gpu.read(found, 4 * 2 * groups * groupSize));
    const [got, expected] = [new Float32Array(2 * cols), new Float32Array(2 * cols)];
    for (const [i, row] of [69, 3].entries()) {
      got.set(all.subarray(i * groups * groupSize, i * groups * groupSize + cols), i * cols);
      expected.set(await readFloats(tensor, row, row + 1), i * cols);
    }
    cases.push({ name: `${type} embedding`, error: apart(got, expected), bound: 1e-6 });
  }
}

async function biasAndSum(gpu: Gpu, cases: Case[]): Promise<void> {
  const [rows, cols] = [40, 64];
  const tensor = matrixOf('q8_0', rows, cols);
  const matrix = await uploadMatrix(gpu, [await laidMatrix(tensor)]);
  const [x, bias, before] = [random(5, 16 * cols), random(6, rows), random(7, 16 * rows)];
  const product: Product = { layout: 'eight', rows, groups: 2, stride: rows, offset: 0, inputs: 'rounded', bias: true, add: true };
  const expected = (await expectedProduct(tensor, x, 16)).map((v, i) => v + bias[i % rows] + before[i]);
  for (const tokens of [2, 16]) {
    const out = gpu.buffer('results', before);
    const buffers = [...matrix.buffers, ...deviceInputs(gpu, 'rounded', x), out, gpu.buffer('bias', bias)];
    gpu.run([tokens === 2 ? gpu.step(matrixVector(product, { tokens: 2, rows: 4, threads: 32 }, gpu.able), buffers, 10) : gpu.step(matrixTiles(product, tileOf('rounded'), gpu.able), buffers, 2, 1)]);
    cases.push({ name: `bias and sum × ${tokens} tokens`, error: apart(new Float32Array(await gpu.read(out, 4 * tokens * rows)), expected.subarray(0, tokens * rows)), bound: floatBound });
  }
}

/** Two matrices of the same layout, one below the other. */
export async function stacked(gpu: Gpu, cases: Case[]): Promise<void> {
  for (const [name, ...tensors] of [['q4_0', matrixOf('q4_0', 6, 256, 1), matrixOf('q4_0', 10, 256, 2)], ['q2_k', matrixOf('q2_k', 6, 256, 1), matrixOf('q2_k', 10, 256, 2)], ['nf4', codedMatrix('nf4/g64', 6, 256), codedMatrix('nf4/g64', 10, 256)]] as const) {
    const matrix: GpuMatrix = await uploadMatrix(gpu, await Promise.all(tensors.map(laidMatrix)));
    const x = random(3, 256);
    const out = gpu.buffer('results', 4 * 16);
    gpu.run([gpu.step(matrixVector({ layout: matrix.layout, rows: 16, groups: 8, stride: 16, offset: 0, inputs: 'rounded', bias: false, add: false }, { tokens: 1, rows: 2, threads: 32 }, gpu.able), [...matrix.buffers, ...deviceInputs(gpu, 'rounded', x), out], 8)]);
    const expected = [...await expectedProduct(tensors[0], x, 1), ...await expectedProduct(tensors[1], x, 1)];
    cases.push({ name: `two matrices in one, ${name}`, error: apart(new Float32Array(await gpu.read(out, 64)), expected), bound: floatBound });
  }
}
