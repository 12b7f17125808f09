/**
 * Every ONNX model of the assets through the main job, four outputs each, every file opened in both runtimes:
 * `npm run bench onnx-models [names]`. Exits with 3 where the assets are absent, with 1 where a figure misses its bound.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Score } from '../src/evaluate/score.ts';
import { openData } from '../src/jobs/data-node.ts';
import { losingNote } from '../src/jobs/losing-layers.ts';
import { quantize } from '../src/jobs/quantize-node.ts';
import { parseSettings, type QuantizeRequest } from '../src/jobs/settings.ts';
import { openModern } from '../src/jobs/source-node.ts';
import type { Places } from './onnx-models/assets.ts';
import { models, type BenchModel } from './onnx-models/models.ts';
import { compareRuntimes } from './onnx-models/runtimes.ts';

const assets = process.env.FEWBIT_ASSETS ?? new URL('../../shared/assets', import.meta.url).pathname;
if (!existsSync(assets)) {
  process.stderr.write(`onnx-models: no folder ${assets}: give one that holds the models and their data as FEWBIT_ASSETS=FOLDER\n`);
  process.exit(3);
}
const names = process.argv.slice(2);
const unknown = names.filter((name) => !models.some((model) => model.name === name));
if (unknown.length > 0) {
  process.stderr.write(`onnx-models: unknown model: ${unknown.join(', ')} (known: ${models.map(({ name }) => name).join(', ')})\n`);
  process.exit(2);
}

/** Samples that both runtimes are compared on. */
const compared = 2;
const header = ['model', 'output', 'smaller', 'float -> quantized', 'KL or SQNR', 'speed', 'web against node', ''];
const rows: string[][] = [];
let missed = 0;

/** The outputs asked of every model; calls differ in how activations are treated. */
const asked: readonly Partial<QuantizeRequest>[] = [{ bits: '16,8,4' }, { weights: 'int8/channel', activations: 'dynamic' }];

async function bench(model: BenchModel, places: Places): Promise<void> {
  const base = { ...await model.request(places), model: join(assets, model.file), to: 'onnx', overwrite: true };
  // A gate makes the job name the layers that a file loses at.
  const gate = model.bound === undefined ? {} : { maxDrop: `${model.bound.metric}=${model.bound.drop}` };
  for (const [i, outputs] of asked.entries()) await add(model, { ...base, ...outputs, ...(i === 0 ? gate : {}), output: join(places.work, 'out', `${model.name}-${i}`) });
  for (const seed of (model.seeds ?? []).filter((other) => other !== 0)) {
    await add(model, { ...base, ...gate, bits: '8', seed, output: join(places.work, 'out', `${model.name}-seed${seed}`) }, `, seed ${seed}`);
  }
}

async function add(model: BenchModel, request: QuantizeRequest, remark = ''): Promise<void> {
  const result = await quantize(request);
  const source = await openModern(request.model);
  const { evaluation } = await openData(parseSettings(request), source);
  await source.close();
  for (const { file, label, files, verdict, losing } of result.outputs) {
    const { score } = verdict;
    const bound = label === 'int8' ? model.bound : undefined;
    const metric = score?.metrics.find(({ name }) => bound === undefined || name === bound.metric);
    const missing = bound === undefined ? undefined : result.gates.find((gate) => gate.file === file);
    if (missing !== undefined) missed++;
    const { sqnr, failure } = await compareRuntimes(join(request.output, file), evaluation, compared);
    if (failure !== undefined) missed++;
    const size = files.reduce((sum, { bytes }) => sum + bytes, 0);
    const row = [
      model.name, label + remark, `${(result.float.bytes / size).toFixed(2)}x`,
      metric === undefined ? '' : `${metric.name} ${metric.float.toFixed(2)} -> ${metric.quantized.toFixed(2)} ${metric.unit}`,
      score === undefined ? `not judged: ${verdict.notJudged}` : errorText(score), verdict.latency[0] === undefined ? '' : `${verdict.latency[0].ratio.toFixed(2)}x`,
      failure ?? (sqnr === Infinity ? 'equal' : `${sqnr!.toFixed(0)} dB`),
      bound === undefined ? '' : `${missing === undefined ? 'within' : 'MISSES'} ${bound.drop.toFixed(1)}`,
    ];
    rows.push(row);
    console.log(row.join('  '));
    if (missing !== undefined && losing !== undefined) console.log(`  ${losingNote(losing)}`);
  }
}

function errorText({ error: { kl, sqnr } }: Score): string {
  if (kl !== undefined) return `KL ${kl.mean.toPrecision(2)}`;
  return sqnr === undefined ? '' : sqnr === Infinity ? 'no error' : `${sqnr.toFixed(1)} dB`;
}

const work = mkdtempSync(join(tmpdir(), 'fewbit-bench-'));
try {
  for (const model of models) if (names.length === 0 || names.includes(model.name)) await bench(model, { assets, work });
} finally {
  rmSync(work, { recursive: true, force: true });
}
const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)));
console.log(`\n${[header, ...rows].map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd()).join('\n')}`);
process.exit(missed > 0 ? 1 : 0);
