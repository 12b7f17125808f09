/**
 * The documentation's opening figures: recipes beside plain formats on four trained networks, weights alone and with
 * activations, each recipe at its native point. `npm run bench compare HOST OUT [parts…]` runs one host; without parts all.
 * Writes OUT/HOST.json, and with `--docs` the table and figures of every OUT/*.json into docs/compare.md and docs/figures.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cifarSamples, ditSamples } from './compare/samples.ts';
import { quantize } from '../src/jobs/quantize-node.ts';
import type { Output } from '../src/jobs/result.ts';
import type { QuantizeRequest } from '../src/jobs/settings.ts';
import { comparisonMarkdown } from '../src/report/comparison-text.ts';
import { comparisons } from '../src/report/comparison.ts';
import { drawComparison } from '../src/report/plot-comparison.ts';

const assets = process.env.FEWBIT_ASSETS ?? '../shared/assets';
const at = (path: string): string => join(assets, path);

interface Host {
  readonly title: string;
  readonly about: string;
  readonly request: (folder: string) => Promise<Omit<QuantizeRequest, 'output' | 'to'>>;
  readonly plain: readonly string[];
  readonly recipes: readonly string[];
  readonly plainInputs: readonly string[];
  readonly recipesInputs: readonly string[];
  /** What the rows show, in sentences that stand under the tables. */
  readonly shown?: readonly string[];
}

const text = (host: string) => async (): Promise<Omit<QuantizeRequest, 'output' | 'to'>> => ({
  model: at(host), data: 'assets/shakespeare/train.txt', evalData: 'assets/shakespeare/heldout.txt', calibrationSamples: 16, evaluationSamples: 16,
});
const grouped = ['rtn:int8/g128', 'rtn:uint6/g128', 'rtn:uint5/g64', 'rtn:uint4/g32', 'rtn:uint4/g128', 'rtn:uint3/g64', 'rtn:uint2/g64', 'rtn:uint2/g128', 'scale-search:uint4/g128', 'scale-search:uint3/g64', 'scale-search:uint2/g64', 'scale-search:uint2/g128'];
const channels = ['rtn:int8/channel', 'rtn:uint6/channel', 'rtn:uint5/channel', 'rtn:uint4/channel', 'rtn:uint3/channel', 'rtn:uint2/channel', 'scale-search:uint4/channel', 'scale-search:uint3/channel', 'scale-search:uint2/channel'];
const mixed = ['gptq:2/plain+trellis', 'gptq:2.25/plain+trellis', 'gptq:2.5/plain+trellis', 'gptq:3.25/plain+trellis', 'gptq:3.5', 'gptq:4.25'];

export const hosts: Readonly<Record<string, Host>> = {
  'host-llama-shakespeare': {
    title: 'A language model', about: 'Llama of 3.6 million weights on Shakespeare (host-llama-shakespeare); 16 windows of held-out text, calibrated on 16 of the training text.',
    request: text('host-llama-shakespeare'), plain: grouped,
    recipes: ['gptq:uint4/g128', 'gptq:uint3/g128', 'gptq:uint2/g64', 'awq:uint4/g128', 'hqq:uint3/g64', ...mixed, 'q-palette:tcq2.5+had', 'q-palette:tcq3.25+had', 'q-palette:tcq4.25+had', 'lq-lora:nf3/b64@bf16+nested8x256'],
    plainInputs: ['rtn:int4/g64:int4/g64', 'rtn:int5/g64:int4/g64', 'rtn:int6/g64:int4/g64', 'rtn:nvfp4:nvfp4', 'rtn:int8/channel:int8/token', 'rtn:int4/channel:int8/token'],
    recipesInputs: ['svdquant:int4/g64:int4/g64', 'svdquant:nvfp4:nvfp4', 'arcquant:nvfp4:nvfp4', 'arcquant-eighth:nvfp4:nvfp4', 'arcquant-all:nvfp4:nvfp4', 'rotate+gptq:int4/g64:int4/g64', 'smooth+gptq:int4/channel:int8/token', 'quantvggt:int4/channel:int4/token'],
    shown: [
      'Plain formats end at 2.74 bits, of which 0.63 are embeddings and norms. With trellises among the candidates (`gptq:2.5/plain+trellis`, on the command line `--bits 2.5 --candidates plain,trellis`) files of 2.25 and 2.50 bits have 0.58 and 0.33 of the KL of the best plain file of 2.74, and one of 3.25 half that of plain formats mixed to 3.50. Tables and rotations that codes share are counted.',
      'The first budget with trellises measures every layer in twenty formats: 23 minutes while two cores were shared with other work, some 6 of computing. Later budgets take what was measured.',
    ],
  },
  'host-dit-mnist': {
    title: 'A diffusion transformer', about: 'Class-conditional transformer of 3.3 million weights on MNIST (host-dit-mnist); noise prediction on points of float trajectories.',
    request: async (folder) => ({ model: at('host-dit-mnist/model.onnx'), ...(await ditSamples(at, folder)), task: 'generic', calibrationSamples: 64, evaluationSamples: 64 }),
    plain: channels, recipes: ['gptq:uint4/channel', 'gptq:uint3/channel', 'gptq:4.5', 'gptq:4.25', 'gptq:3.5', 'gptq:3/plain', 'gptq:2.5/plain', 'gptq:4.25/plain+trellis', 'gptq:3/plain+trellis', 'gptq:2.5/plain+trellis', 'gptq:2/plain+trellis', 'fp4dit:e2m1/g128', 'lowbit-fp-diffusion:e2m1/channel'],
    plainInputs: ['rtn:int4/g64:int4/g64', 'rtn:int5/g64:int4/g64', 'rtn:nvfp4:nvfp4', 'rtn:uint8/channel:uint8/token', 'rtn:uint6/channel:uint8/token', 'rtn:uint4/channel:uint8/token'],
    recipesInputs: ['svdquant:int4/g64:int4/g64', 'svdquant:nvfp4:nvfp4', 'arcquant:nvfp4:nvfp4', 'arcquant-eighth:nvfp4:nvfp4', 'arcquant-all:nvfp4:nvfp4', 'vidit-q:uint4/channel:uint8/token', 'vidit-q-mp:uint4/channel:uint8/token', 'mixdq:int4/channel', 'quantvggt:int4/channel:int4/token'],
    shown: ['A format per layer at 3.00 bits errs less than half as much as three bits throughout with the same error feedback, which take 3.50. Plain formats end at 2.80 bits; with trellises 2.00 bits err an eighteenth as much as the best plain file of 2.80, 3.00 bits a sixth, and 4.25 bits seven tenths as much as plain formats mixed to the same size.'],
  },
  'resnet-20': {
    title: 'A convolutional network', about: 'ResNet-20 for CIFAR-10, 272,000 weights; 500 images judged, 64 calibrated on.',
    request: async (folder) => ({ model: at('cnn-resnet-cifar10/derived_resnet20.onnx'), ...(await cifarSamples(at, folder)), task: 'classify', calibrationSamples: 64, evaluationSamples: 500 }),
    plain: channels, recipes: ['gptq:uint4/channel', 'gptq:uint3/channel', 'gptq:uint2/channel', 'gptq:4.25', 'gptq:3.5', 'gptq:4.25/plain+trellis', 'gptq:3/plain+trellis', 'gptq:2.5/plain+trellis', 'gptq:2/plain+trellis', 'adaround:int4/channel', 'brecq:int3/channel'],
    plainInputs: ['krishnamoorthi-int8:int8/channel:static', 'rtn:int4/channel:int8/tensor', 'rtn:uint5/channel:int8/tensor', 'rtn:uint6/channel:int8/tensor'],
    recipesInputs: ['hawqv3:int8/channel:static', 'hawqv3-int8:int8/channel:static', 'gptq:uint4/channel:int8/tensor', 'gptq:uint3/channel:int8/tensor'],
    shown: ['With trellises files of 2.50 bits have half the KL of two-bit codes with error feedback, which take 2.42. At 4.25 bits they gain an eighth over plain formats alone: the tables and rotations that their codes share, 7 to 11 kB, are 0.2 to 0.3 bits per weight of a network this small.'],
  },
  'host-mamba2-shakespeare': {
    title: 'A state-space model', about: 'Mamba-2 of 2 million weights on Shakespeare (host-mamba2-shakespeare); 16 windows of held-out text, calibrated on 16 of the training text.',
    request: text('host-mamba2-shakespeare'), plain: grouped, recipes: ['gptq:uint4/g128', 'gptq:uint3/g128', 'gptq:4.25', 'gptq:3.5', 'gptq:3/plain', 'gptq:4.25/plain+trellis', 'gptq:3.5/plain+trellis', 'gptq:3/plain+trellis', 'gptq:2.8/plain+trellis', 'gptq:2.5/plain+trellis', 'gptq:2/plain+trellis'],
    plainInputs: ['rtn:int8/channel:int8/token', 'rtn:int4/channel:int8/token', 'rtn:int6/channel:int8/token'],
    recipesInputs: ['mambaquant:int8/channel:int8/token', 'mambaquant:int4/channel:int8/token', 'quamba2:int4-full/g128:int8/token', 'smooth+gptq:int4/channel:int8/token'],
    shown: ['Of the 3.32 bits with which plain formats end, 1.36 are embeddings, convolutions and what else stays as it is: with trellises the end is near 2.8. Their file of 2.79 bits is nearer to the float model than the best plain file of 3.54, that of 3.00 has half its KL, and at 3.50 and 4.24 bits they leave 0.36 and 0.35 of what a mixture of plain formats does.'],
  },
};

interface Run { readonly points?: readonly string[]; readonly about: string; readonly title: string; readonly outputs: Output[]; readonly failed: { readonly point: string; readonly reason: string }[] }

/** Plain files together, recipes one at a time, so that one that fails leaves the others; what is there already is not run again. */
async function runHost(name: string, folder: string, wanted: readonly string[]): Promise<void> {
  const { title, about, request, plain, recipes, plainInputs, recipesInputs } = hosts[name];
  const path = join(folder, `${name}.json`);
  mkdirSync(folder, { recursive: true });
  const run: Run = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) as Run : { title, about, outputs: [], failed: [] };
  const common = await request(folder);
  const one = (points: readonly string[]): string[][] => points.map((point) => [point]);
  const groups = [[...plain], [...plainInputs], ...one(recipes), ...one(recipesInputs)]
    .map((points) => points.filter((point) => wanted.length === 0 || wanted.some((word) => point.startsWith(word))));
  const done = new Set(run.points ?? []);
  for (const group of groups) {
    const points = group.filter((point) => !done.has(point));
    if (points.length === 0) continue;
    const output = join(folder, 'files');
    rmSync(output, { recursive: true, force: true });
    try {
      const { outputs } = await quantize({ ...common, to: 'onnx', recipe: points, output, overwrite: true });
      for (const made of outputs) {
        run.outputs.push({ ...made, tensors: [], histograms: [], ...(made.allocation === undefined ? {} : { allocation: { ...made.allocation, layers: [], front: [] } }) });
        console.log(`${name} ${made.recipe} ${made.label}: ${made.verdict.bitsPerWeight.toFixed(2)} bits, ${JSON.stringify(made.verdict.score?.error.kl?.mean ?? made.verdict.score?.error.sqnr)}, ${made.seconds?.toFixed(1)} s`);
      }
    } catch (error) {
      for (const point of points) run.failed.push({ point, reason: (error as Error).message });
      console.log(`${name} ${points.join(', ')}: ${(error as Error).message}`);
    }
    for (const point of points) done.add(point);
    writeFileSync(path, JSON.stringify({ ...run, points: [...done] }));
  }
}

/** The colours of the report's light page: a file by itself has no style sheet. */
const inks = { dot: '#0072b2', best: '#d55e00', bar: '#8fb8d8', level: '#d55e00', faint: '#b8b8b8', paper: '#ffffff' } as const;

function writeDocs(folder: string, docs: string): void {
  mkdirSync(join(docs, 'figures'), { recursive: true });
  const parts = Object.keys(hosts).filter((name) => existsSync(join(folder, `${name}.json`))).map((name) => {
    const run = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Run;
    const drawn = new Map(comparisons(run).map((comparison) => {
      const file = `${name}-${comparison.title === 'Weights alone' ? 'weights' : 'activations'}.svg`;
      const svg = Object.entries(inks).reduce((all, [ink, colour]) => all.replaceAll(`var(--${ink})`, colour), drawComparison(comparison, 860).outerHTML)
        .replace('font-family="system-ui, sans-serif"', '').replace(/<svg(?![^>]*xmlns=)/, '<svg xmlns="http://www.w3.org/2000/svg"').replace('<svg', '<svg font-family="system-ui, sans-serif" color="#222"')
        .replace(/(<style>)/, '$1svg { background: #fff; }');
      writeFileSync(join(docs, 'figures', file), `${svg}\n`);
      return [comparison.title, file] as const;
    }));
    const { recipes, recipesInputs, shown = [] } = hosts[name];
    const failed = [...shown.map((text) => `- ${text}`), ...run.failed.map(({ point, reason }) => `- \`${point}\` is not in the tables: ${reason}`)];
    const open = [...recipes, ...recipesInputs].filter((point) => run.points?.includes(point) !== true);
    if (open.length > 0) failed.push(`- Not run yet: ${open.map((point) => `\`${point}\``).join(', ')}`);
    return [`## ${run.title}`, '', run.about, '', comparisonMarkdown(run, (title) => `![${run.title}, ${title.toLowerCase()}](figures/${drawn.get(title)})`), ...failed, ''].join('\n');
  });
  const head = readFileSync(new URL('compare/head.md', import.meta.url), 'utf8');
  writeFileSync(join(docs, 'compare.md'), `${head}\n${parts.join('\n')}`);
  console.log(`${parts.length} hosts, ${readdirSync(join(docs, 'figures')).length} figures`);
}

const [host, folder, ...wanted] = process.argv.slice(2);
if (host === '--docs') writeDocs(folder, wanted[0] ?? 'docs');
else if (hosts[host] === undefined || folder === undefined) console.log(`hosts: ${Object.keys(hosts).join(', ')}; or --docs FOLDER`);
else await runHost(host, folder, wanted);
