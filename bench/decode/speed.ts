/** Decoders of one file in turn: what they read, what they write, in tokens a second. */
import { median, minMax } from '../../src/numeric/statistics.ts';
import { likeliest } from '../../src/runtime/sample.ts';
import type { LlamaDecoder } from '../../src/runtime/llama-decoder.ts';

/** Tokens of the prompt, and tokens that are written after it. */
export const [promptTokens, written] = [64, 64];

/** Each turn has another prompt, as engines remember what they have read. */
export const promptOf = (turn: number): number[] => Array.from({ length: promptTokens }, (_, i) => (i * 37 + turn * 101 + 11) % 900);

/** Tokens a second. */
export interface Speed { readonly prompt: number; readonly decode: number }

export interface Contender { readonly name: string; run(turn: number): Promise<Speed>; dispose(): Promise<void> }

/** Greedy text of our decoder. */
export function ourSpeed(decoder: LlamaDecoder, turn: number): Speed {
  decoder.rewind(0);
  const started = performance.now();
  let next = likeliest(decoder.feed(promptOf(turn)));
  const read = performance.now();
  for (let i = 0; i < written; i++) next = likeliest(decoder.feed([next]));
  return { prompt: (1000 * promptTokens) / (read - started), decode: (1000 * written) / (performance.now() - read) };
}

function spread(list: readonly number[], digits = 0): string {
  const { min, max } = minMax(list);
  return `${median(list).toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

/** Lines of a table: medians (least–most) of runs that alternate; how many times as fast the first is as each, next to each other. */
export async function race(contenders: readonly Contender[], runs: number): Promise<string[]> {
  const speeds: Speed[][] = contenders.map(() => []);
  for (const one of contenders) await one.run(runs);
  for (let run = 0; run < runs; run++) for (const [i, one] of contenders.entries()) speeds[i].push(await one.run(run));
  return contenders.map(({ name }, i) => {
    const against = (kind: keyof Speed): string => spread(speeds[0].map((first, run) => first[kind] / speeds[i][run][kind]), 2);
    const compared = (kind: keyof Speed): string => (i === 0 ? '' : `, fewbit ${against(kind)} times as fast`);
    return `  ${name.padEnd(30)} written ${spread(speeds[i].map(({ decode }) => decode))} tokens/s${compared('decode')}; read ${spread(speeds[i].map(({ prompt }) => prompt))}${compared('prompt')}`;
  });
}
