/** Matrix products of every form of weights that the device multiplies as it is, beside those of Q4_0 and of floats. */
import { groupSize, inputBytes, type InputKind } from '../../src/engine/webgpu/inputs.ts';
import { isLowBit } from '../../src/engine/webgpu/matrix-layout.ts';
import { matrixTiles } from '../../src/engine/webgpu/matrix-tiles.ts';
import { matrixVector } from '../../src/engine/webgpu/matrix-vector.ts';
import { roundInputs } from '../../src/engine/webgpu/round-inputs.ts';
import { tileShape, vectorShape } from '../../src/engine/webgpu/shapes.ts';
import { encodeBlocks } from '../../src/formats/ggml/index.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import type { TrellisFormat } from '../../src/formats/trellis/trellis.ts';
import { readFloats } from '../../src/files/values.ts';
import { codedTensor } from '../../src/models/coded-tensor.ts';
import { inCodes } from '../../src/runtime/text-model.ts';
import { laidMatrix, uploadMatrix, type GpuMatrix } from '../../src/runtime/webgpu-matrix.ts';
import { blockTypes, floatTensor, memoryTensor, type BlockType, type TensorRef } from '../../src/tensor-ref.ts';
import { type Contender, gpu, ours, race, scale, values } from './race.ts';

/** Rows that are encoded; the others repeat them, since time does not depend on values. */
const own = 64;
const blocks: readonly BlockType[] = ['q4_0', 'q8_0', 'q4_k', 'q2_k', 'q3_k', 'tq2_0', 'iq4_nl', 'iq4_xs', 'mxfp4', 'nvfp4'];
const coded = ['nf4/g64', 'int3/g32@f16', 'int2/g32@f16'];
const trellises = ['tcq2', 'tcq3'];

async function matrices(N: number, K: number): Promise<Map<string, TensorRef>> {
  const repeated = <T extends Uint8Array | Float32Array>(part: T): T => {
    const all = new (part.constructor as new (count: number) => T)((part.length * N) / own);
    for (let at = 0; at < all.length; at += part.length) all.set(part, at);
    return all;
  };
  const part = values(own * K, 0.05);
  const made = new Map<string, TensorRef>(blocks.map((type) => {
    const { block, bytes } = blockTypes[type];
    const encoded = encodeBlocks(type, part, own, K);
    if (encoded.length !== (own * K * bytes) / block) throw new RangeError(type);
    return [type, memoryTensor(type, type, [N, K], repeated(encoded))];
  }));
  for (const name of coded) {
    const codes = (await inCodes(floatTensor(name, [own, K], part), parseFormat(name)).coded!.read())!;
    const all = { ...codes, codes: repeated(Uint8Array.from(codes.codes)), scales: repeated(Float32Array.from(codes.scales)), ...(codes.zeros === undefined ? {} : { zeros: repeated(Uint8Array.from(codes.zeros)) }) };
    made.set(name, codedTensor(name, [N, K], async () => all));
  }
  for (const name of trellises) {
    const format = parseFormat(name) as TrellisFormat;
    const { strips, stripBytes } = format.layout(N, K);
    // Any bits are states.
    const held = { format, codes: Uint8Array.from(values(strips * stripBytes, 127), (value) => Math.round(value + 127)), scales: new Float32Array(N).fill(0.03) };
    const decoded = format.decode({ ...held, format: format.name, rows: N, cols: K } as Parameters<TrellisFormat['decode']>[0]);
    made.set(name, { ...floatTensor(name, [N, K], decoded), coded: { read: async () => undefined, trellis: async () => held } });
  }
  return made.set('float', floatTensor('float', [N, K], repeated(part)));
}

/** The same weights elsewhere: more in all than the caches of large devices hold. */
function copyOf(matrix: GpuMatrix, of: string): GpuMatrix {
  const buffers = matrix.buffers.map((from) => {
    const to = gpu.buffer(of, from.size);
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, from.size);
    gpu.device.queue.submit([encoder.finish()]);
    return to;
  });
  return { ...matrix, buffers };
}

export async function forms(): Promise<void> {
  const [N, K] = [Math.round(4096 / scale), Math.round(4096 / scale)];
  const chain = [1, 9] as const;
  const tensors = await matrices(N, K);
  const tokens = [1, Math.max(64, Math.round(512 / scale))];
  const inputs = tokens.map((M) => {
    const x = values(M * K);
    const given = gpu.buffer('x', x);
    const kinds = (['rounded', 'float', 'half'] as const).filter((kind) => kind !== 'half' || gpu.able.half);
    return { M, x, results: gpu.buffer('results', 4 * M * N), made: new Map(kinds.map((kind): [InputKind, GPUBuffer[]] => {
      const buffers = inputBytes[kind].map((bytes) => gpu.buffer('inputs', ((M * K) / groupSize) * bytes));
      gpu.run([gpu.step(roundInputs(kind, gpu.able), [given, ...buffers], Math.ceil((M * K) / groupSize / 64))]);
      return [kind, buffers];
    })) };
  });
  const contenders = inputs.map((): Contender[] => []);
  for (const [name, tensor] of tensors) {
    const before = gpu.bytes;
    const first = await uploadMatrix(gpu, [await laidMatrix(tensor)]);
    const bits = (8 * (gpu.bytes - before)) / (N * K);
    const all = [first, ...Array.from({ length: chain[1] - 1 }, () => copyOf(first, name))];
    const decoded = await readFloats(tensor, 0, own);
    for (const [at, { M, x, results, made }] of inputs.entries()) {
      for (const [kind, buffers] of made) {
        if (kind === 'rounded' && !isLowBit(first.layout)) continue;
        const product = { layout: first.layout, rows: N, groups: K / groupSize, stride: N, offset: 0, inputs: kind, bias: false, add: false };
        const shape = M === 1 ? vectorShape(1, kind) : tileShape(M, kind, first.layout, gpu.workgroupBytes);
        const code = 'threads' in shape ? matrixVector(product, shape, gpu.able) : matrixTiles(product, shape, gpu.able);
        const step = (i: number) => [gpu.step(code, [...all[i].buffers, ...buffers, results], Math.ceil(N / shape.rows), ...('threads' in shape ? [] : [Math.ceil(M / shape.tokens)]))];
        const error = async (): Promise<number> => {
          gpu.run(step(0));
          const found = new Float32Array(await gpu.read(results, 4 * M * N));
          let [most, squares] = [0, 0];
          for (let r = 0; r < own; r++) {
            let sum = 0;
            for (let c = 0; c < K; c++) sum += decoded[r * K + c] * x[(M - 1) * K + c];
            most = Math.max(most, Math.abs(found[(M - 1) * N + r] - sum));
            squares += sum * sum;
          }
          return most / Math.sqrt(squares / own);
        };
        contenders[at].push(ours(`${name}, ${bits.toFixed(2)} bits, inputs ${kind === 'rounded' ? 'int8' : kind}`, step, error, chain));
      }
    }
  }
  for (const [at, { M }] of inputs.entries()) await race(`forms of weights, ${N} × ${K}, ${M} token${M === 1 ? '' : 's'}`, contenders[at]);
}
