/** Matrix products of 4-bit weights beside those of ONNX Runtime. */
import type { Step } from '../../src/engine/webgpu/gpu.ts';
import { groupSize, inputBytes, type InputKind } from '../../src/engine/webgpu/inputs.ts';
import { matrixTiles, type TileShape, tileThreads } from '../../src/engine/webgpu/matrix-tiles.ts';
import { matrixVector, type VectorShape } from '../../src/engine/webgpu/matrix-vector.ts';
import { roundInputs } from '../../src/engine/webgpu/round-inputs.ts';
import { tileBytes, tileShape, vectorShape } from '../../src/engine/webgpu/shapes.ts';
import { decodeBlocks, encodeBlocks } from '../../src/formats/ggml/index.ts';
import { packing } from '../../src/formats/index.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import { encodeF16 } from '../../src/numeric/half.ts';
import { unpackers } from '../../src/runtime/unpack.ts';
import { type GpuMatrix, laidMatrix, uploadMatrix } from '../../src/runtime/webgpu-matrix.ts';
import { memoryTensor } from '../../src/tensor-ref.ts';
import { type Contender, fastest, gpu, inside, ours, race, scale, theirs, there, unit, values } from './race.ts';

/** Weights of a chain: links take 4096 columns to some and, where those are more, back. */
interface Weights { readonly N: number; readonly K: number; readonly blocks: Uint8Array; readonly decoded: Float32Array; readonly codes: Uint8Array; readonly scales: Float32Array; readonly matrices: readonly GpuMatrix[] }

async function weightsOf(N: number, K: number, copies: number): Promise<Weights> {
  const blocks = encodeBlocks('q4_0', values(N * K, 0.05), N, K);
  const [codes, scales, mins, block, one] = [new Uint8Array(N * K), new Float32Array((N * K) / 32), new Float32Array(1), new Int8Array(32), new Float32Array(1)];
  for (let b = 0; b < scales.length; b++) {
    unpackers.q4_0!.unpack(blocks, b * 18, block, one, mins);
    scales[b] = one[0];
    codes.set(block, b * 32);
  }
  const tensor = memoryTensor('w', 'q4_0', [N, K], blocks);
  const matrices: GpuMatrix[] = [];
  for (let i = 0; i < copies; i++) matrices.push(await uploadMatrix(gpu, [await laidMatrix(tensor)]));
  return { N, K, blocks, decoded: decodeBlocks('q4_0', blocks), codes, scales, matrices };
}

/** Farthest of 64 results a token from float64 sums, as a share of their root mean square. */
function productError(results: Float32Array, x: Float32Array, { N, K, decoded }: Weights, tokens: number): number {
  let [most, squares, count] = [0, 0, 0];
  for (let t = 0; t < tokens; t += Math.ceil(tokens / 8)) {
    for (let r = 0; r < N; r += Math.ceil(N / 64)) {
      let sum = 0;
      for (let c = 0; c < K; c++) sum += x[t * K + c] * decoded[r * K + c];
      const far = Math.abs(results[t * N + r] - sum);
      if (!(far <= most)) most = far;
      squares += sum * sum;
      count++;
    }
  }
  return most / Math.sqrt(squares / count);
}

export async function products(): Promise<void> {
  const K = Math.round(4096 / scale);
  for (const wide of [false, true]) {
    const N = wide ? Math.round(11008 / scale / 32) * 32 : K;
    // More than the caches of large GPUs hold.
    const chain = (wide ? [1, 9] : [1, 17]) as [number, number];
    const up = await weightsOf(N, K, chain[1]);
    const down = wide ? await weightsOf(K, N, chain[1]) : undefined;
    const links = down === undefined ? [up] : [up, down];
    const packed = new Map(links.map((w) => [w, packing.packMatMulNBits(w.codes, new Uint8Array(w.scales.length).fill(8), { N: w.N, K: w.K, bits: 4, block: 32 })]));
    const turned = new Map(links.map((w) => { const to = new Float32Array(w.N * w.K); for (let r = 0; r < w.N; r++) for (let c = 0; c < w.K; c++) to[c * w.N + r] = w.decoded[r * w.K + c]; return [w, new Uint8Array(encodeF16(to).buffer)]; }));
    for (const M of (wide ? [1, 512] : [1, 64, 512]).map((m) => (m === 1 ? 1 : Math.max(64, m / scale)))) {
      const x = values(M * K);
      const [first, second, results] = [new Map<InputKind, GPUBuffer[]>(), new Map<InputKind, GPUBuffer[]>(), gpu.buffer('results', 4 * M * N)];
      const given = gpu.buffer('x', x);
      const kinds = (['float', 'half', 'rounded'] as const).filter((kind) => kind !== 'half' || gpu.able.half);
      for (const kind of kinds) {
        first.set(kind, inputBytes[kind].map((bytes) => gpu.buffer('inputs', ((M * K) / groupSize) * bytes)));
        second.set(kind, inputBytes[kind].map((bytes) => gpu.buffer('inputs', ((M * N) / groupSize) * bytes)));
        gpu.run([gpu.step(roundInputs(kind, gpu.able), [given, ...first.get(kind)!], Math.ceil((M * K) / groupSize / 64))]);
      }
      const title = `${wide ? `${K} → ${N} → ${K}` : `${N} × ${K}`}, int4 in groups of 32, ${M} token${M === 1 ? '' : 's'}`;
      const contenders: (Contender | undefined)[] = [];
      for (const kind of kinds) {
        const product = (w: Weights) => ({ layout: 'four' as const, rows: w.N, groups: w.K / 32, stride: w.N, offset: 0, inputs: kind, bias: false, add: false });
        const step = (shape: VectorShape | TileShape, w: Weights, i: number): Step => {
          const buffers = [...w.matrices[i].buffers, ...(w === up ? first : second).get(kind)!, results];
          return 'threads' in shape ? gpu.step(matrixVector(product(w), shape, gpu.able), buffers, Math.ceil(w.N / shape.rows))
            : gpu.step(matrixTiles(product(w), shape, gpu.able), buffers, Math.ceil(w.N / shape.rows), Math.ceil(M / shape.tokens));
        };
        const usual = M === 1 ? vectorShape(1, kind) : tileShape(M, kind, 'four', gpu.workgroupBytes);
        const all: (VectorShape | TileShape)[] = [usual, ...(M === 1 ? vectorShapes : tileShapes(kind))];
        const shape = wide ? usual : await fastest(`${kind}, ${M} tokens`, all, (one, i) => links.map((w) => step(one, w, i)), 8);
        const error = async (): Promise<number> => {
          gpu.run([step(shape, up, 0)]);
          return productError(new Float32Array(await gpu.read(results, 4 * M * N)), x, up, M);
        };
        contenders.push(ours(`fewbit int4, inputs ${kind === 'rounded' ? 'int8' : kind}`, (i) => links.map((w) => step(shape, w, i)), error, chain));
      }
      const graph = (link: (g: GraphBuilder, x: string, w: Weights, i: number) => string, type: 'f32' | 'f16') => (length: number): GraphBuilder => {
        const g = new GraphBuilder('chain');
        let at = inside(g, type, [M, K], x);
        // Of one link, the first half is what the error is of.
        for (let i = 0; i < length; i++) for (const w of length === 1 && wide ? [up] : links) at = link(g, at, w, i);
        if (length === 1) g.output(at, 'y', type, [M, N]);
        else g.output(g.op('Slice', [at, g.ints([0]), g.ints([1]), g.ints([0])]), 'y', type, [1, K]);
        return g;
      };
      const nBits = (type: 'f32' | 'f16', accuracy: number) => graph((g, x, w, i) => g.op('MatMulNBits', [x,
        g.weight(memoryTensor(`w${i}${w === up ? 'u' : 'd'}`, 'u8', [w.N, w.K / 32, 16], packed.get(w)!)),
        g.weight(memoryTensor(`s${i}${w === up ? 'u' : 'd'}`, type, [w.N, w.K / 32], new Uint8Array((type === 'f32' ? w.scales : encodeF16(w.scales)).buffer))),
      ], { N: int(w.N), K: int(w.K), bits: int(4), block_size: int(32), accuracy_level: int(accuracy) }, { domain: 'com.microsoft' }), type);
      const matMul = graph((g, x, w, i) => g.op('MatMul', [x, g.weight(memoryTensor(`w${i}${w === up ? 'u' : 'd'}`, 'f16', [w.K, w.N], turned.get(w)!))]), 'f16');
      const error = (y: Float32Array): number => productError(y, x, up, M);
      // Chains end where they begin, so that short and long ones move the same to and fro; a chain of one is for its error.
      const theirChain = wide ? [2, 6] as const : [2, 17] as const;
      contenders.push(
        await theirs('onnxruntime MatMulNBits f32', theirChain, nBits('f32', 0), unit('f32'), error),
        await theirs('onnxruntime MatMulNBits f32, int8 inputs', theirChain, nBits('f32', 4), unit('f32'), error),
        ...(gpu.able.half ? [
          await theirs('onnxruntime MatMulNBits f16', theirChain, nBits('f16', 0), unit('f16'), error),
          await theirs('onnxruntime MatMulNBits f16, int8 inputs', theirChain, nBits('f16', 4), unit('f16'), error),
          await theirs('onnxruntime MatMul f16', theirChain, matMul, unit('f16'), error),
        ] : []),
      );
      await race(title, there(contenders));
      for (const buffers of [...first.values(), ...second.values()]) for (const buffer of buffers) buffer.destroy();
      results.destroy();
    }
    for (const { matrices } of links) for (const { buffers } of matrices) for (const buffer of buffers) buffer.destroy();
  }
}

const vectorShapes: VectorShape[] = [1, 2, 4, 8].flatMap((rows) => [32, 64, 128].map((threads) => ({ tokens: 1, rows, threads })));
const tileShapes = (kind: InputKind): TileShape[] => [[32, 32, 4, 4], [64, 32, 4, 4], [64, 64, 4, 4], [64, 64, 8, 4], [64, 64, 8, 8], [64, 128, 8, 4], [128, 64, 8, 8], [128, 128, 8, 8], ...(kind === 'rounded' ? [[32, 32, 2, 4], [32, 64, 4, 4], [64, 128, 8, 8]] : [])]
  .flatMap(([tokens, rows, ownTokens, ownRows]) => (kind === 'rounded' ? [1, 2, 4] : kind === 'half' ? [1, 2] : [1]).map((stage) => ({ tokens, rows, ownTokens, ownRows, stage })))
  .filter((shape) => tileThreads(shape) <= gpu.workgroupThreads && tileThreads(shape) >= 32 && tileBytes(shape, kind, 'four') <= gpu.workgroupBytes);
