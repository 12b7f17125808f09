/** What stands beside the files: a manifest each and the report, as the command writes them, with this browser as the machine. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { version } from '../../package.json';
import { recommend, type Verdict } from '../../src/evaluate/verdict.ts';
import { blobSource, type ByteSource } from '../../src/files/source.ts';
import { parseSettings } from '../../src/jobs/settings.ts';
import { snippetFor } from '../../src/jobs/snippets.ts';
import type { Output, QuantizeResult } from '../../src/jobs/result.ts';
import { manifestOf, modelCard, resultHtml } from '../../src/report/index.ts';
import { jsonText } from '../../src/report/json.ts';
import type { Calls, MadeFile, Tell } from './protocol.ts';
import { opened } from './worker-desk.ts';
import { threads } from './worker-engine.ts';
import { settingsOf } from './worker-run.ts';

/** Read at once: small beside any page. */
const pieceBytes = 8 * 1024 * 1024;

async function hashed(source: ByteSource, path: string, tell: Tell): Promise<{ path: string; bytes: number; sha256: string }> {
  const hash = sha256.create();
  for (let at = 0; at < source.size; at += pieceBytes) {
    hash.update(await source.read(at, Math.min(source.size, at + pieceBytes)));
    tell(`hash ${path}`, at / source.size);
  }
  return { path, bytes: source.size, sha256: bytesToHex(hash.digest()) };
}

export async function writeBeside({ made, judgement }: Calls['beside']['give'], tell: Tell): Promise<MadeFile[]> {
  const { folder, model } = opened();
  const { request } = made;
  const verdicts = new Map(judgement?.files.map(({ path, verdict }) => [path, verdict]));
  const sources = [];
  for (const name of [...await folder.list()].sort()) sources.push(await hashed(await folder.open(name), name, tell));
  const outputs: Output[] = [];
  for (const [i, { file, target, label, format, recipe, tensors: planned, bitsPerWeight }] of made.outputs.entries()) {
    const { files: paths, tensors: written, histograms, notes, allocation, tensorBits } = made.written[i];
    const files = [];
    for (const path of paths) files.push(await hashed(blobSource(path, made.files.find((one) => one.path === path)!.blob), path, tell));
    const tensors = written.length > 0 ? written : planned;
    const fallbacks = tensors.flatMap(({ name, target: taken, fallback }) => (fallback === undefined ? [] : [{ tensor: name, format: taken, reason: fallback }]));
    const verdict: Verdict = {
      file, target, format, size: files.reduce((sum, { bytes }) => sum + bytes, 0), bitsPerWeight: tensorBits === undefined ? bitsPerWeight : tensorBits / Math.max(1, model.parameters),
      ...(fallbacks.length === 0 ? {} : { fallbacks }), ...(verdicts.get(file) ?? { notJudged: 'the verdict was skipped', latency: [], loads: [] }),
    };
    outputs.push({
      file, files, target, label, recipe, tensors, histograms, notes, verdict, ...(allocation === undefined ? {} : { allocation }),
      snippet: { language: 'js', code: snippetFor({ file, target, label }), executed: false, reason: 'it was made in a page' },
    });
  }
  const all: QuantizeResult = {
    tool: { name: 'fewbit', version },
    model: { name: model.name, origin: model.origin, parameters: model.parameters, bytes: model.bytes, files: sources, ...(model.license === undefined ? {} : { license: model.license }) },
    ...(judgement === undefined ? {} : { evaluation: judgement.data }), float: { bytes: model.bytes, engine: 'onnxruntime-web' },
    outputs, recommendation: recommend(outputs.map(({ verdict }) => verdict), model.bytes), gates: [],
    settings: parseSettings({
      ...settingsOf(request), model: model.name, output: '.', threads: 1,
      ...(request.data === '' ? {} : { data: request.data }), ...(request.input === '' ? {} : { input: request.input }),
    }),
    environment: {
      node: 'none: made in a browser', platform: navigator.userAgent, cpu: `${navigator.hardwareConcurrency} threads`, threads: threads(),
      engines: [...new Set(outputs.flatMap(({ verdict }) => verdict.loads))],
    },
    seconds: made.seconds,
  };
  const text = (path: string, content: string, type: string): MadeFile => ({ path, blob: new Blob([content], { type }) });
  return [
    text('report.html', resultHtml(all), 'text/html'),
    ...outputs.map((output) => text(`${output.file}.manifest.json`, `${jsonText(manifestOf(all, output))}\n`, 'application/json')),
    ...outputs.map((output) => text(`${output.file}.md`, modelCard(all, output), 'text/markdown')),
  ];
}
