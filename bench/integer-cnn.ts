/**
 * Convolutional networks in integers alone: our kernels and their plain twin beside ONNX Runtime Web, which runs the written
 * file, the float network and integer operators, one image, one thread: `npm run bench integer-cnn`. Two of the three
 * networks lie in FEWBIT_ASSETS; without it the one of this repository is run. Medians (least–most) of interleaved runs.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as ortModule from 'onnxruntime-web';
import { executeIntegers } from '../src/engine/integer/execute.ts';
import { integerKernels } from '../src/engine/kernels/integer.ts';
import { ortNode } from '../src/engine/ort-node.ts';
import { ortWeb, type OrtWebModule } from '../src/engine/ort-web.ts';
import type { Feeds } from '../src/engine/session.ts';
import { exportIntegerOnly, integerValues } from '../src/export/onnx-integer.ts';
import { parseFormat } from '../src/formats/registry.ts';
import type { Graph } from '../src/graph/graph.ts';
import { linearSites } from '../src/graph/linear.ts';
import { openModern } from '../src/jobs/source-node.ts';
import { normal } from '../src/numeric/random.ts';
import { observeRanges } from '../src/observe/ranges.ts';
import { openGraph } from '../src/observe/taps.ts';
import { personFiles } from '../src/reproductions/data/person.ts';
import { quantizedLazily } from '../src/round/quantized-matrix.ts';
import { foldBatchNorm } from '../src/transform/fold-batchnorm.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 11);
const assets = process.env.FEWBIT_ASSETS ?? '../shared/assets';
const models = ['assets/kws-dscnn/kws-dscnn.onnx', join(assets, 'cnn-resnet-cifar10/derived_resnet20.onnx'), join(assets, personFiles.model)];
const web = ortWeb(ortModule as unknown as OrtWebModule);

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const spread = (numbers: readonly number[]): string => `${median(numbers).toFixed(2)} (${Math.min(...numbers).toFixed(2)}–${Math.max(...numbers).toFixed(2)})`;

/** Normal values in the shape of the input, one image. */
function feedsOf({ inputs: [{ name, shape }] }: Graph, seed: number): Feeds {
  const dims = shape!.map((dim) => (typeof dim === 'number' ? dim : 1));
  return { [name]: { type: 'f32', shape: dims, data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => normal(seed, 0, i)) } };
}

for (const path of models) {
  if (!existsSync(path)) {
    console.log(`${path}: not there, not run`);
    continue;
  }
  const model = await openModern(path);
  const float = foldBatchNorm(model.graph);
  const ranges = await observeRanges(float, ortNode, [1, 2, 3, 4].map((seed) => feedsOf(float, seed)), integerValues(float));
  const weights = new Map(linearSites(float).map((site) => [site.id, quantizedLazily(site, parseFormat('int8/channel'))]));
  const { graph: proved, network } = await exportIntegerOnly(float, { weights, ranges });
  const { graph: integer } = await exportIntegerOnly(float, { weights, ranges, products: 'integer' });
  const kernels = integerKernels();
  const sessions = await Promise.all([float, proved, integer].map((graph) => openGraph(graph, web)));
  const feeds = feedsOf(float, 9);
  const contenders: [string, () => Promise<unknown>][] = [
    ['our kernels', () => executeIntegers(network, feeds, kernels)],
    ['plain twin', () => executeIntegers(network, feeds)],
    ['onnxruntime-web, float network', () => sessions[0].run(feeds)],
    ['onnxruntime-web, integers as float operators', () => sessions[1].run(feeds)],
    ['onnxruntime-web, integer operators', () => sessions[2].run(feeds)],
  ];
  const times = new Map<string, number[]>(contenders.map(([name]) => [name, []]));
  for (let run = -2; run < runs; run++) {
    for (const [name, work] of contenders) {
      const before = performance.now();
      await work();
      if (run >= 0) times.get(name)!.push(performance.now() - before);
    }
  }
  const [ours, judge] = [await executeIntegers(network, feeds, kernels), await executeIntegers(network, feeds)];
  for (const [name, { data }] of judge) if (ours.get(name)!.data.some((value, i) => value !== data[i])) throw new Error(`${path}: other integers at ${name}`);
  console.log(`${path}, ${runs} runs, one thread, same integers`);
  const own = times.get('our kernels')!;
  for (const [name, found] of times) console.log(`  ${name.padEnd(46)} ${spread(found)} ms${name === 'our kernels' ? '' : `, ${spread(found.map((time, i) => time / own[i]))} times as long`}`);
  for (const session of sessions) await session.dispose();
  await model.close();
}
