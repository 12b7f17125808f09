/** One matrix in groups of 32 with 4-bit codes, as blocks and as models of one product for ONNX Runtime. */
import { onnxBytes } from '../../src/files/onnx.ts';
import { decodeBlocks, encodeBlocks } from '../../src/formats/ggml/index.ts';
import { packing } from '../../src/formats/index.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import { normal } from '../../src/numeric/random.ts';
import { unpackers } from '../../src/runtime/unpack.ts';
import { floatTensor, memoryTensor } from '../../src/tensor-ref.ts';
import { K, N } from './size.ts';

export { K, N };
/** Tokens that are multiplied: one, and a chunk of a prompt. */
export const rowCounts = [1, 64] as const;
const values = Float32Array.from({ length: N * K }, (_, i) => normal(1, 0, i) * 0.02);
export const blocks = encodeBlocks('q4_0', values, N, K);
export const decoded = decodeBlocks('q4_0', blocks);
export const inputsOf = (rows: number): Float32Array => Float32Array.from({ length: rows * K }, (_, i) => normal(2, rows, i));

/** The same codes and scales as MatMulNBits holds them. */
export function matMulNBits(accuracy: 0 | 4): Promise<Uint8Array> {
  const [codes, scales, mins] = [new Uint8Array(N * K), new Float32Array((N * K) / 32), new Float32Array(1)];
  const block = new Int8Array(32);
  const scale = new Float32Array(1);
  for (let b = 0; b < scales.length; b++) {
    unpackers.q4_0!.unpack(blocks, b * 18, block, scale, mins);
    scales[b] = scale[0];
    codes.set(block, b * 32);
  }
  const layout = { N, K, bits: 4, block: 32 } as const;
  const g = new GraphBuilder('product');
  const x = g.input('x', 'f32', ['rows', K]);
  const y = g.op('MatMulNBits', [x, g.weight(memoryTensor('w', 'u8', [N, K / 32, 16], packing.packMatMulNBits(codes, new Uint8Array(scales.length).fill(8), layout))), g.weight(floatTensor('s', [N, K / 32], scales))],
    { N: int(N), K: int(K), bits: int(4), block_size: int(32), accuracy_level: int(accuracy) }, { domain: 'com.microsoft' });
  g.output(y, 'y', 'f32', ['rows', N]);
  return onnxBytes(g.graph());
}

export function floatMatMul(): Promise<Uint8Array> {
  const turned = new Float32Array(N * K);
  for (let r = 0; r < N; r++) for (let c = 0; c < K; c++) turned[c * N + r] = decoded[r * K + c];
  const g = new GraphBuilder('product');
  g.output(g.op('MatMul', [g.input('x', 'f32', ['rows', K]), g.weight(floatTensor('w', [K, N], turned))]), 'y', 'f32', ['rows', N]);
  return onnxBytes(g.graph());
}
