/**
 * Caches of keys and values in few bits beside float ones: bytes, KL to the float cache on the Shakespeare Llama (paired
 * windows of the held-out text, float weights), and the time of attention and of whole steps at long contexts, in runs
 * that alternate: `npm run bench kv-cache`.
 */
import { fileURLToPath } from 'node:url';
import { fastestBuild, lowBitKernels } from '../src/engine/kernels/lowbit.ts';
import { openFile } from '../src/files/fs-node.ts';
import { openSource } from '../src/jobs/source-node.ts';
import { initialLlama } from '../src/models/llama-init.ts';
import type { LlamaConfig } from '../src/models/llama-config.ts';
import { openTokenizer } from '../src/models/tokenizer.ts';
import { klDivergence, logSoftmax } from '../src/numeric/distribution.ts';
import { normal } from '../src/numeric/random.ts';
import { Arena } from '../src/runtime/arena.ts';
import { cacheFormats, openCache, type CacheFormat } from '../src/runtime/kv-caches.ts';
import { LlamaDecoder } from '../src/runtime/llama-decoder.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 9);
const windows = Number(process.env.FEWBIT_BENCH_WINDOWS ?? 32);
const assets = fileURLToPath(new URL('../assets/', import.meta.url));
const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const spread = (list: readonly number[], digits: number): string => `${sorted(list)[list.length >> 1].toFixed(digits)} (${sorted(list)[0].toFixed(digits)}–${sorted(list).at(-1)!.toFixed(digits)})`;
const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;

const host = await openSource(`${assets}host-llama-shakespeare`);
const config = host.language!.config as LlamaConfig;
const open = (format: CacheFormat) => LlamaDecoder.open(config, host.language!.tensors, { cache: format, context: 256 });
const decoders = await Promise.all(cacheFormats.map(open));
const file = await openFile(`${assets}shakespeare/heldout.txt`);
const ids = openTokenizer(host.language!.tokenizer!).encode(new TextDecoder().decode(await file.read(0, file.size)), { addSpecialTokens: false });
await file.close();

console.log(`# KL to the float cache, ${windows} windows of 256 tokens, tokens that read 32 or more positions in few bits`);
const perWindow: number[][] = cacheFormats.map(() => []);
for (let w = 0; w < windows; w++) {
  const tokens = ids.slice(w * 256, (w + 1) * 256);
  const logits = decoders.map((decoder) => {
    decoder.rewind(0);
    return decoder.feed(tokens, { all: true });
  });
  const vocabulary = decoders[0].vocabulary;
  const row = (l: Float32Array, t: number): Float64Array => logSoftmax(l, t * vocabulary, vocabulary);
  cacheFormats.forEach((_, f) => perWindow[f].push(mean(Array.from({ length: 256 - 63 }, (_, i) => klDivergence(row(logits[0], 63 + i), row(logits[f], 63 + i))))));
}
cacheFormats.forEach((format, f) => console.log(`${format.padEnd(6)} ${mean(perWindow[f]).toExponential(2)} nats a token, windows ${sorted(perWindow[f])[0].toExponential(1)}–${sorted(perWindow[f]).at(-1)!.toExponential(1)}; cache ${(decoders[f].cacheBytes / 1e6).toFixed(2)} MB at a context of 256`));
for (let f = 2; f < cacheFormats.length; f++) console.log(`${cacheFormats[f]} above ${cacheFormats[f - 1]} in ${perWindow[f].filter((kl, w) => kl > perWindow[f - 1][w]).length} of ${windows} windows`);
await host.close();

console.log(`\n# attention of one token, 16 heads of 64 on 8 of keys and values, one layer; ${runs} runs, microseconds; ${fastestBuild()}`);
for (const context of [1024, 4096, 16_384]) {
  const shape = { heads: 16, kvHeads: 8, headDim: 64, context, chunk: 32 };
  const ways = cacheFormats.map((format) => {
    const arena = new Arena();
    const [query, out] = [arena.take(4096), arena.take(4096)];
    const cache = openCache(format, arena, lowBitKernels(arena.memory), { ...shape, scores: arena.take(4 * (context + 4)), listed: arena.take(128) });
    arena.floats(query, 1024).set(Float32Array.from({ length: 1024 }, (_, i) => normal(1, 0, i)));
    const noise = Float32Array.from({ length: 2 * 512 }, (_, i) => normal(2, 0, i));
    for (let p = 0; p < context; p++) {
      const { keys, values } = cache.place(p, 1);
      arena.floats(keys, 512).set(noise.subarray(p % 512, (p % 512) + 512));
      arena.floats(values, 512).set(noise.subarray((7 * p) % 512, ((7 * p) % 512) + 512));
    }
    return { bytes: cache.bytes, run: () => cache.attend(query, out, 0, context) };
  });
  const times: number[][] = ways.map(() => []);
  const repeat = Math.max(1, Math.round(16_384 / context));
  for (let run = 0; run <= runs; run++) {
    ways.forEach((way, i) => {
      const started = performance.now();
      for (let n = 0; n < repeat; n++) way.run();
      if (run > 0) times[i].push((1000 * (performance.now() - started)) / repeat);
    });
  }
  cacheFormats.forEach((format, i) => console.log(`${String(context).padStart(6)} ${format.padEnd(6)} ${spread(times[i], 0)}; ${spread(times[i].map((t, run) => t / times[0][run]), 2)} of float; ${(ways[i].bytes / 1e6).toFixed(2)} MB, ${((8 * ways[i].bytes) / (2 * context * 512)).toFixed(2)} bits a value`));
}

console.log(`\n# a step of a Llama of 4 layers of 512 (8 heads of 64, each with keys and values) after 4,000 tokens; ${runs} runs of 8 steps, milliseconds a step`);
const tiny = initialLlama('random', { vocabulary: 1024, hidden: 512, intermediate: 1536, layers: 4, heads: 8, kvHeads: 8, context: 4096 }, { seed: 1, tokenizer: host.language!.tokenizer! });
const long = await Promise.all(cacheFormats.map((cache) => LlamaDecoder.open(tiny.config as LlamaConfig, tiny.tensors, { cache, context: 4096 })));
const text = Array.from({ length: 4000 }, (_, i) => (i * 37 + 11) % 900);
const read = long.map((decoder) => {
  const started = performance.now();
  decoder.feed(text);
  return performance.now() - started;
});
const steps: number[][] = long.map(() => []);
for (let run = 0; run < runs; run++) {
  long.forEach((decoder, i) => {
    const started = performance.now();
    for (let n = 0; n < 8; n++) decoder.feed([(run * 8 + n) % 900]);
    steps[i].push((performance.now() - started) / 8);
  });
}
cacheFormats.forEach((format, i) => console.log(`${format.padEnd(6)} ${spread(steps[i], 2)}; ${spread(steps[i].map((t, run) => t / steps[0][run]), 2)} of float; reading 4,000 tokens ${(read[i] / read[0]).toFixed(2)} of float (once); cache ${(long[i].cacheBytes / 1e6).toFixed(1)} MB`));
