/**
 * Perplexity and KL to float of the everyday rounders on the Shakespeare Llama: calibrated on 64 windows of the training
 * text, judged on all 193 windows of the held-out text. Linear layers only; the embedding, tied to the head, stays float.
 */
import { ortNode } from '../src/engine/ort-node.ts';
import { bindFeeds } from '../src/evaluate/feeds.ts';
import { evaluate, taskNamed } from '../src/evaluate/tasks.ts';
import { parseFormat } from '../src/formats/registry.ts';
import { openFile, openFolder } from '../src/files/fs-node.ts';
import { onnxBytes } from '../src/files/onnx.ts';
import { linearSites, withMatrix } from '../src/graph/linear.ts';
import type { Graph } from '../src/graph/graph.ts';
import { openLanguageModel } from '../src/models/language-model.ts';
import { openTokenizer } from '../src/models/tokenizer.ts';
import { openDataFile, shuffled, subset } from '../src/observe/data/index.ts';
import { applyRecipe } from '../src/recipes/apply.ts';
import { findRecipe } from '../src/recipes/registry.ts';

const assets = new URL('../assets/', import.meta.url).pathname;
const model = await openLanguageModel(await openFolder(`${assets}host-llama-shakespeare`));
const tokenizer = openTokenizer(model.tokenizer!);
const tokenize = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
const text = async (name: string) => openDataFile(await openFile(`${assets}shakespeare/${name}.txt`), { tokenize, window: 256 });
const heldout = await text('heldout');
const graph = model.graph();

/** The graph with every rounded weight replaced by what its codes decode to: what a written file computes. */
async function decoded(format: string, recipe: string, seed: number): Promise<Graph> {
  const train = await text('train');
  const calibration = subset(train, shuffled(train.count, seed).slice(0, 64));
  const batches = async function* () {
    for (let i = 0; i < calibration.count; i += 8) yield bindFeeds((await calibration.batch(Array.from({ length: 8 }, (_, k) => i + k))).feeds, graph.inputs);
  };
  const parsed = parseFormat(format, 'ggml');
  const linears = new Set(model.linears);
  const applied = await applyRecipe(findRecipe(recipe), graph, { engine: ortNode, batches, formatOf: (site) => (linears.has(site.id) ? parsed : undefined) });
  let next = applied.graph;
  for (const site of linearSites(applied.graph)) {
    const matrix = applied.weights.get(site.id);
    if (matrix !== undefined) next = withMatrix(next, site, parsed.decode(await matrix.read(0, site.rows)));
  }
  return next;
}

/** HQQ solves for zero points, so it has them; its codes cost a little more for it. */
const affine = (format: string, recipe: string): string => (recipe === 'hqq' ? format.replace(/^int/, 'uint') : format);
const integers = ['int4/g128', 'int4/g32', 'int3/g64', 'int2/g32', 'uint2/g32'];
const blocks = ['q8_0', 'q6_k', 'q5_k', 'q4_k', 'iq4_xs', 'iq4_nl', 'q4_0', 'mxfp4', 'q3_k', 'q2_k'];
const groups: readonly { readonly format: string; readonly recipes: readonly string[] }[] = [
  ...integers.map((format) => ({ format, recipes: ['rtn', 'scale-search', 'importance', 'gptq', 'awq', 'hqq'] })),
  ...blocks.map((format) => ({ format, recipes: ['rtn', 'importance'] })),
];
const only = process.argv.slice(2);
const float = await ortNode.open({ bytes: await onnxBytes(graph) }, { threads: 2 });
console.log('format      recipe        bits/weight  perplexity (float 26.647)  KL to float, nats        equal top-1');
for (const { format, recipes } of groups) {
  if (only.length > 0 && !only.includes(format)) continue;
  const candidates = [];
  for (const recipe of recipes) candidates.push({ name: recipe, session: await ortNode.open({ bytes: await onnxBytes(await decoded(affine(format, recipe), recipe, 0)) }, { threads: 2 }) });
  const scores = await evaluate(taskNamed('lm'), float, candidates, heldout);
  for (const [i, { error: { kl, agreement }, metrics }] of scores.entries()) {
    const spelled = affine(format, recipes[i]);
    console.log(`${spelled.padEnd(11)} ${recipes[i].padEnd(13)} ${parseFormat(spelled, 'ggml').bitsPerWeight(256, 256).toFixed(3).padStart(11)}  ${metrics[0].quantized.toFixed(3).padStart(10)}                 ${kl!.mean.toFixed(5).padStart(9)} ± ${kl!.standardError.toFixed(5)}    ${(100 * agreement!).toFixed(2)} %`);
  }
  for (const { session } of candidates) await session.dispose();
}
