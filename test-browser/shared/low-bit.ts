/** A small low-bit model whose outputs can be computed by hand. */
import { onnxBytes } from '../../src/files/onnx.ts';
import { floatTensor, memoryTensor } from '../../src/tensor-ref.ts';
import { packing, parseFormat } from '../../src/formats/index.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import { normal } from '../../src/numeric/random.ts';

const [N, K, block] = [48, 64, 32];

/** `x` [rows, 64] times a weight [48, 64] of `bits` bits in blocks of 32, as `MatMulNBits`; and the weight's decoded values. */
export async function lowBitMatMul(bits: 2 | 4 | 8): Promise<{ bytes: Uint8Array; weight: Float32Array }> {
  const format = parseFormat(`uint${bits}/g${block}`);
  const quantized = format.encode(Float32Array.from({ length: N * K }, (_, i) => normal(bits, 0, i) * 0.1), N, K);
  const layout = { N, K, bits, block };
  const zeros = new Uint8Array(quantized.zeros ?? []);
  const graph = new GraphBuilder('low-bit');
  const x = graph.input('x', 'f32', ['rows', K]);
  const y = graph.op('MatMulNBits', [
    x,
    graph.weight(memoryTensor('w', 'u8', [N, K / block, (block * bits) / 8], packing.packMatMulNBits(new Uint8Array(quantized.codes), zeros, layout))),
    graph.weight(floatTensor('scales', [N, K / block], quantized.scales)),
    graph.weight(memoryTensor('zeros', 'u8', [N, Math.ceil((K / block) * bits / 8)], packing.packZeroPoints(zeros, layout))),
  ], { N: int(N), K: int(K), bits: int(bits), block_size: int(block) }, { domain: 'com.microsoft' });
  graph.output(y, 'y', 'f32', ['rows', N]);
  return { bytes: await onnxBytes(graph.graph()), weight: format.decode(quantized) };
}

/** Inputs of several rows: one takes a kernel of its own in most engines. */
export const lowBitInputs = (rows: number): Float32Array => Float32Array.from({ length: rows * K }, (_, i) => normal(7, rows, i));

/** What the model must give, in float64. */
export function lowBitOutputs(weight: Float32Array, x: Float32Array): Float64Array {
  const rows = x.length / K;
  return Float64Array.from({ length: rows * N }, (_, at) => {
    const [r, n] = [Math.floor(at / N), at % N];
    let sum = 0;
    for (let k = 0; k < K; k++) sum += x[r * K + k] * weight[n * K + k];
    return sum;
  });
}
