/** Reproductions in the page: the files that Node runs, on this page's engine and with models and data from beside it. */
import { reproduce, type Reproduction, type ReproductionReport } from '../../src/reproductions/reproduction.ts';
import type { Calls, Tell } from './protocol.ts';
import { isRunHere, type RunHere } from './runs-here.ts';

const here: Readonly<Record<RunHere, () => Promise<Reproduction>>> = {
  'arcquant': async () => (await import('../../src/reproductions/arcquant.ts')).arcquantReproduction,
  'comet': async () => (await import('../../src/reproductions/comet.ts')).comet,
  'lq-lora': async () => (await import('../../src/reproductions/lq-lora.ts')).lqLoraReproduction,
  'mambaquant': async () => (await import('../../src/reproductions/mambaquant.ts')).mambaquant,
  'q-palette': async () => (await import('../../src/reproductions/q-palette.ts')).qPaletteReproduction,
  'quamba2': async () => (await import('../../src/reproductions/quamba2.ts')).quamba2,
  'quantvggt': async () => (await import('../../src/reproductions/quantvggt.ts')).quantvggt,
  'quest-llm': async () => (await import('../../src/reproductions/quest-llm.ts')).questLlm,
  'sageattention2': async () => (await import('../../src/reproductions/sageattention2.ts')).sageattention2Reproduction,
  'specmquant': async () => (await import('../../src/reproductions/specmquant.ts')).specmquant,
  'svdquant': async () => (await import('../../src/reproductions/svdquant.ts')).svdquantReproduction,
  'vidkv': async () => (await import('../../src/reproductions/vidkv.ts')).vidkvReproduction,
};

export async function reproduceHere({ recipe }: Calls['reproduce']['give'], tell: Tell): Promise<ReproductionReport> {
  if (!isRunHere(recipe)) throw new Error(`${recipe} needs data that does not come with this page`);
  return reproduce(await here[recipe](), { asset: (path) => path, seeds: [0], threads: 1, full: false, page: true, say: (line) => tell(line) });
}
