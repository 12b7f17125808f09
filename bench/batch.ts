/**
 * Tokens per second of texts that are written together, beside one after another: `npm run bench batch`. A Llama of 34
 * million random weights; runs alternate, figures are medians (least–most) of all texts' tokens per second.
 */
import { fastestBuild } from '../src/engine/kernels/lowbit.ts';
import { readLlamaConfig } from '../src/models/llama-config.ts';
import { initialLlama, llamaConfig } from '../src/models/llama-init.ts';
import { LlamaDecoder } from '../src/runtime/llama-decoder.ts';
import { likeliest } from '../src/runtime/sample.ts';
import { inBlocks } from '../src/runtime/text-model.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 5);
const [promptTokens, written] = [32, 32];
const counts = [1, 2, 4, 8, 16];
const size = { vocabulary: 1024, hidden: 512, intermediate: 1536, layers: 10, heads: 8, context: 128 };
const { tensors } = initialLlama('random', size, { seed: 1 });
const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const spread = (list: readonly number[]): string => `${sorted(list)[list.length >> 1].toFixed(0)} (${sorted(list)[0].toFixed(0)}–${sorted(list).at(-1)!.toFixed(0)})`;

console.log(`34 million weights; ${promptTokens} tokens read, ${written} written by each text, ${runs} runs, ${fastestBuild()}, one thread`);
for (const weights of [undefined, 'q8_0', 'q4_0'] as const) {
  const decoder = await LlamaDecoder.open(readLlamaConfig(llamaConfig(size)), weights === undefined ? tensors : new Map([...tensors].map(([name, tensor]) => [name, inBlocks(tensor, weights)])), { sequences: Math.max(...counts) });
  const rate = (texts: number): number => {
    const sequences = decoder.sequences.slice(0, texts);
    let logits = sequences.map((sequence, s) => {
      sequence.rewind(0);
      return sequence.feed(Array.from({ length: promptTokens }, (_, i) => (i * 37 + 11 * s) % 1024));
    });
    const started = performance.now();
    for (let i = 0; i < written; i++) logits = decoder.run(sequences.map((sequence, s) => ({ sequence, tokens: [likeliest(logits[s])] })));
    return (1000 * written * texts) / (performance.now() - started);
  };
  const rates = counts.map((): number[] => []);
  for (let run = -1; run < runs; run++) {
    for (const [i, texts] of counts.entries()) {
      const found = rate(texts);
      // The first run warms up.
      if (run >= 0) rates[i].push(found);
    }
  }
  for (const [i, texts] of counts.entries()) {
    const ratio = sorted(rates[i].map((one, run) => one / rates[0][run]));
    console.log(`${(weights ?? 'float').padEnd(6)} ${String(texts).padStart(2)} text${texts > 1 ? 's' : ' '}  ${spread(rates[i])} tokens/s${texts > 1 ? `, ${ratio[runs >> 1].toFixed(2)} times one text (${ratio[0].toFixed(2)}–${ratio.at(-1)!.toFixed(2)})` : ''}`);
  }
}
