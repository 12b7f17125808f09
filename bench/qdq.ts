/**
 * Static int8 files (QuantizeLinear/DequantizeLinear) on our kernels beside ONNX Runtime on the same file: codes at every
 * rounding, judged scores, and times of one input in one thread and two, in Node and in Chromium where it is installed:
 * `npm run bench qdq [models]`. Models and data lie in FEWBIT_ASSETS.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ortModule from 'onnxruntime-web';
import { ortNode } from '../src/engine/ort-node.ts';
import { ortWeb, type OrtWebModule } from '../src/engine/ort-web.ts';
import { readQdqNetwork } from '../src/engine/qdq/read.ts';
import { QdqRunner } from '../src/engine/qdq/run.ts';
import { nodeTeam } from '../src/engine/kernels/lowbit-team-node.ts';
import { fastestQdqBuild } from '../src/engine/kernels/qdq.ts';
import type { Feeds, Session } from '../src/engine/session.ts';
import { bindFeeds } from '../src/evaluate/feeds.ts';
import { evaluate } from '../src/evaluate/tasks.ts';
import { onnxBytes, openOnnx } from '../src/files/onnx.ts';
import { memorySource } from '../src/files/source.ts';
import { bindToShapes } from '../src/graph/bind.ts';
import type { Graph } from '../src/graph/graph.ts';
import { upgradeOpset } from '../src/graph/upgrade.ts';
import { openData } from '../src/jobs/data-node.ts';
import { quantize } from '../src/jobs/quantize-node.ts';
import { parseSettings } from '../src/jobs/settings.ts';
import { openModern } from '../src/jobs/source-node.ts';
import { foldBatchNorm } from '../src/transform/fold-batchnorm.ts';
import { openBrowser } from '../test-browser/browser.ts';
import { workerScript } from '../test-browser/worker-script.ts';
import { models } from './onnx-models/models.ts';
import { agreement, type Agreement } from './qdq/agreement.ts';
import { engineOn, ours, race } from './qdq/race.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 11);
const judged = Number(process.env.FEWBIT_BENCH_SAMPLES ?? 500);
/** Samples whose codes are compared. */
const compared = 8;
const assets = process.env.FEWBIT_ASSETS ?? new URL('../../shared/assets', import.meta.url).pathname;
if (!existsSync(assets)) {
  process.stderr.write(`qdq: no folder ${assets}: give one that holds the models and their data as FEWBIT_ASSETS=FOLDER\n`);
  process.exit(3);
}
const names = process.argv.slice(2);
const asked = models.filter(({ name }) => (names.length > 0 ? names.includes(name) : ['ds-cnn', 'resnet20', 'vww', 'squeezenet', 'fastestdet'].includes(name)));
const web = ortWeb(ortModule as unknown as OrtWebModule);

/** Multiplications of convolutions and matrix products for inputs of these shapes. */
async function multiplications(graph: Graph, feeds: Feeds): Promise<number> {
  const bound = await bindToShapes(graph, new Map(Object.entries(feeds).map(([name, { shape }]) => [name, shape])));
  const shapeOf = (name: string): readonly number[] => (bound.values.get(name) ?? bound.outputs.find((output) => output.name === name))?.shape as readonly number[] ?? bound.weights.get(name)?.shape ?? [];
  return bound.nodes.filter(({ op }) => /^(Conv|Gemm|MatMul)$/.test(op)).reduce((sum, { op, inputs, outputs }) => {
    const weight = shapeOf(inputs[1]);
    const each = op === 'Conv' ? weight.slice(1).reduce((a, b) => a * b, 1) : shapeOf(inputs[0]).at(-1)!;
    return sum + shapeOf(outputs[0]).reduce((a, b) => a * b, 1) * each;
  }, 0);
}

const work = mkdtempSync(join(tmpdir(), 'fewbit-qdq-'));
try {
  for (const model of asked) {
    const request = { ...await model.request({ assets, work }), model: join(assets, model.file), to: 'onnx', bits: '8', threads: 1, verdict: false, output: join(work, 'out', model.name), evaluationSamples: judged };
    const { outputs: [{ file }] } = await quantize(request);
    const bytes = new Uint8Array(readFileSync(join(request.output, file)));
    const source = await openModern(request.model);
    const { task, evaluation } = await openData(parseSettings(request), source);
    const graph = await upgradeOpset(await openOnnx(memorySource(file, bytes)));
    const runner = await QdqRunner.open(await readQdqNetwork(graph));
    const own: Session = { inputs: graph.inputs, outputs: graph.outputs, run: (feeds) => runner.run(feeds), dispose: async () => undefined };
    const floatBytes = await onnxBytes(foldBatchNorm(source.graph));
    const [float, native] = [await ortNode.open({ bytes: floatBytes }, { threads: 1 }), await ortNode.open({ bytes }, { threads: 1 })];
    const samples: Feeds[] = [];
    for (let i = 0; i < Math.min(compared, evaluation.count); i++) samples.push((await evaluation.batch([i])).feeds);
    const { whole, alone } = await agreement(graph, samples);
    const [mine, theirs] = await evaluate(task, float, [{ name: 'fewbit', session: own }, { name: 'onnxruntime', session: native }], evaluation);
    const feeds = bindFeeds(samples[0], graph.inputs);
    console.log(`\n${file}: ${((await multiplications(graph, feeds)) / 1e6).toFixed(1)} M multiplications, memory ${(runner.bytes / 2 ** 20).toFixed(1)} MiB, file ${(bytes.length / 2 ** 20).toFixed(2)} MiB`);
    const told = ({ codes, differing, most }: Agreement): string => `${differing} of ${codes} (${((100 * differing) / codes).toPrecision(2)} %), by ${most} at most`;
    console.log(`  codes that differ from ONNX Runtime's: of every operator alone, on its codes of one input, ${told(alone)}`);
    console.log(`  of the whole network, ${samples.length} inputs, ${told(whole)}`);
    for (const [i, { name, float: at, quantized, unit }] of mine.metrics.entries()) console.log(`  ${name}, ${evaluation.count} inputs: float ${at.toFixed(2)} ${unit}, fewbit ${quantized.toFixed(2)}, onnxruntime ${theirs.metrics[i].quantized.toFixed(2)}`);
    console.log(`Node ${process.version}, ${runs} interleaved runs, one thread where nothing else is said`);
    const builds = fastestQdqBuild() === 'relaxed SIMD' ? [await ours(bytes), await ours(bytes, 'plain SIMD')] : [await ours(bytes)];
    const contenders = [
      ...builds, await ours(bytes, undefined, nodeTeam(2)), await engineOn('onnxruntime-web, the same file', web, bytes), await engineOn('onnxruntime-web, float', web, floatBytes),
      await engineOn('onnxruntime-node, the same file', ortNode, bytes), await engineOn('onnxruntime-node, float', ortNode, floatBytes),
    ];
    console.log((await race(contenders, feeds, runs)).join('\n'));
    const [[input, { shape, data }]] = Object.entries(feeds);
    const files = new Map([['made/worker.js', await workerScript()], ['made/quantized.onnx', bytes], ['made/float.onnx', floatBytes], ['made/input.bin', new Uint8Array(Float32Array.from(data as Float32Array).buffer)]]);
    const browser = await openBrowser('bench/qdq/page.ts', { files }).catch((error: Error) => console.log(error.message));
    if (browser !== undefined) {
      console.log((await browser.call<string[]>('lines', 'made/quantized.onnx', 'made/float.onnx', input, shape, 'made/input.bin', runs)).join('\n'));
      await browser.close();
    }
    await source.close();
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exit(0);
