/**
 * Memory over a thousand generate–dispose cycles: of texts from one model, and of models that are opened, write and are
 * disposed of, a part of them with threads. Exit code 1 where it grows.
 */
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { nodeTeam } from '../src/engine/kernels/lowbit-team-node.ts';
import { openSource } from '../src/jobs/source-node.ts';
import { initialLlama } from '../src/models/llama-init.ts';
import { anyObject, jsonConstraint, openTextModel, type Generated } from '../src/runtime/index.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

interface Use { readonly heap: number; readonly buffers: number; readonly resident: number }
async function use(): Promise<Use> {
  for (let i = 0; i < 3; i++) {
    collect();
    // Finalizers run between turns.
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  return { heap: heapUsed, buffers: arrayBuffers, resident: rss };
}

async function all(writing: AsyncGenerator<string, Generated>): Promise<Generated> {
  for (;;) {
    const next = await writing.next();
    if (next.done === true) return next.value;
  }
}

const cycles = 1000;
/** Bytes that a thousand cycles may leave behind, and of resident memory, which allocators do not give back at once. */
const allowed = { objects: 2e6, resident: 40e6 };

/** Runs the cycles; the first tenth warms up. */
async function measure(name: string, cycle: (i: number) => Promise<number>): Promise<boolean> {
  let before: Use | undefined;
  let tokens = 0;
  const started = performance.now();
  for (let i = 0; i < cycles + cycles / 10; i++) {
    if (i === cycles / 10) before = await use();
    tokens += await cycle(i);
  }
  const seconds = (performance.now() - started) / 1000;
  const now = await use();
  const [heap, buffers, resident] = (['heap', 'buffers', 'resident'] as const).map((kind) => now[kind] - before![kind]);
  const constant = heap + buffers < allowed.objects && resident < allowed.resident;
  console.log(`${name}: ${cycles} cycles, ${tokens} tokens, ${seconds.toFixed(0)} s; objects ${megabytes(heap)} more, buffers ${megabytes(buffers)}, resident ${megabytes(resident)} (now ${megabytes(now.resident)}): ${constant ? 'constant' : 'GROWS'}`);
  return constant;
}

const source = await openSource(fileURLToPath(new URL('../assets/host-llama-shakespeare', import.meta.url)));
const host = source.language!;
const model = await openTextModel(host, { weights: 'q8_0', context: 128 });
console.log(`host-llama-shakespeare as q8_0: ${megabytes([...host.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0))} of float weights, ${megabytes(model.bytes)} in the engine, context 128`);
const prompts = ['ROMEO:\n', 'JULIET:\nWhat', 'First Citizen:\n'];
const texts = await measure('texts of one model', async (i) => {
  const abort = new AbortController();
  if (i % 7 === 0) setTimeout(() => abort.abort(), 2);
  const { ids } = await all(model.write(prompts[i % 3], {
    maxTokens: 16, temperature: i % 2, seed: i, stop: ['the '], signal: abort.signal,
    ...(i % 5 === 0 ? { constraint: jsonConstraint(model.tokenizer, anyObject) } : {}),
  }));
  return ids.length;
});
model.dispose();

const small = initialLlama('small', { vocabulary: 1024, hidden: 128, intermediate: 256, layers: 2, heads: 4, context: 64 }, { seed: 1, tokenizer: host.tokenizer! });
const opened = await measure('models opened and disposed of, every 20th with two threads', async (i) => {
  const one = await openTextModel(small, { weights: 'q8_0', ...(i % 20 === 0 ? { team: nodeTeam(2) } : {}) });
  const { ids } = await all(one.write(prompts[i % 3], { maxTokens: 4 }));
  one.dispose();
  return ids.length;
});
await source.close();
process.exit(texts && opened ? 0 : 1);
