/** Decoders of one file in turn: what they read, what they write, in tokens a second. */
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

const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const spread = (list: readonly number[]): string => `${sorted(list)[list.length >> 1].toFixed(0)} (${sorted(list)[0].toFixed(0)}–${sorted(list).at(-1)!.toFixed(0)})`;

/** Lines of a table: medians (least–most) of runs that alternate; how many times as fast the first is as each, next to each other. */
export async function race(contenders: readonly Contender[], runs: number): Promise<string[]> {
  const speeds: Speed[][] = contenders.map(() => []);
  for (const one of contenders) await one.run(runs);
  for (let run = 0; run < runs; run++) for (const [i, one] of contenders.entries()) speeds[i].push(await one.run(run));
  return contenders.map(({ name }, i) => {
    const against = (kind: keyof Speed): string => {
      const ratios = sorted(speeds[0].map((first, run) => first[kind] / speeds[i][run][kind]));
      return `${ratios[runs >> 1].toFixed(2)} (${ratios[0].toFixed(2)}–${ratios.at(-1)!.toFixed(2)})`;
    };
    const compared = (kind: keyof Speed): string => (i === 0 ? '' : `, fewbit ${against(kind)} times as fast`);
    return `  ${name.padEnd(30)} written ${spread(speeds[i].map(({ decode }) => decode))} tokens/s${compared('decode')}; read ${spread(speeds[i].map(({ prompt }) => prompt))}${compared('prompt')}`;
  });
}
