/** Rounders on a seeded matrix with seeded statistics of its inputs, as hashes; runs in Node and in a page. */
import { parseFormat, type Quantized } from '../../src/formats/index.ts';
import { gram } from '../../src/numeric/matrix.ts';
import { normal } from '../../src/numeric/random.ts';
import { awq, gptq, hqq, importance, nearest, scaleSearch } from '../../src/round/index.ts';
import { digest } from './digest.ts';

const [rows, cols, samples] = [48, 128, 300];

const quantizedDigest = ({ codes, scales, zeros, codebook, tensorScale, squaredError }: Quantized) =>
  digest(codes, scales, zeros, codebook, Float64Array.of(tensorScale ?? 1, squaredError));

export async function rounderHashes(): Promise<Record<string, string>> {
  const weight = { values: Float32Array.from({ length: rows * cols }, (_, i) => normal(1, 0, i) * 0.05), rows, cols, name: 'w' };
  const inputs = Float64Array.from({ length: samples * cols }, (_, i) => normal(2, 0, i) * (1 + (i % 7)) + normal(2, 1, Math.floor(i / cols)));
  const column = (f: (x: number) => number) => Float32Array.from({ length: cols }, (_, j) => {
    let sum = 0;
    for (let s = 0; s < samples; s++) sum += f(inputs[s * cols + j]);
    return sum / samples;
  });
  const statistics = { hessian: gram(inputs, samples, cols), meanSquare: column((x) => x * x), meanAbsolute: column(Math.abs) };
  const hashes: Record<string, string> = {};
  for (const spelling of ['int4/g32', 'int3/g64', 'uint4/g32', 'uint2/g32', 'int8/channel', 'nf4/b64', 'mxfp4', 'nvfp4']) {
    const format = parseFormat(spelling);
    const put = async (name: string, quantized: Quantized) => { hashes[`${name} ${spelling}`] = await quantizedDigest(quantized); };
    await put('nearest', nearest(weight, format));
    await put('scale-search', scaleSearch(weight, format));
    await put('importance', importance(weight, format, statistics));
    await put('gptq', gptq(weight, format, statistics));
    await put('gptq natural', gptq(weight, format, statistics, { order: 'natural' }));
    const balanced = awq([weight], format, statistics);
    await put('awq', balanced.quantized[0]);
    hashes[`awq scales ${spelling}`] = await digest(balanced.channelScales, Float64Array.of(balanced.alpha, balanced.error));
    if (/^uint/.test(spelling)) await put('hqq', hqq(weight, format));
  }
  return hashes;
}
