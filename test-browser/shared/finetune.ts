/** Keyword spotting trained for int4 weights and int8 activations, in whichever engine. */
import type { Engine } from '../../src/engine/session.ts';
import { arrayDataset, readNpy, splitDataset } from '../../src/observe/data/index.ts';
import { finetuneFiles } from '../../src/web.ts';

export interface KeywordRun { readonly losses: readonly number[]; readonly bytes: number; readonly accuracy: number; readonly float: number }

export async function finetuneKeywords(engine: Engine, blob: (path: string) => Promise<Blob>): Promise<KeywordRun> {
  const array = async (name: string) => readNpy(new Uint8Array(await (await blob(`assets/kws-dscnn/${name}`)).arrayBuffer()), name);
  const all = arrayDataset('keywords', new Map([['input', await array('inputs.npy')]]), await array('labels.npy'));
  const { calibration, evaluation } = splitDataset(all, { calibration: 900, seed: 0 });
  const { losses, bytes, score } = await finetuneFiles([{ name: 'kws-dscnn.onnx', blob: await blob('assets/kws-dscnn/kws-dscnn.onnx') }],
    { weights: 'int4/channel', activations: 'int8/tensor', steps: 6, batch: 16, rate: 1e-4 }, { engine, data: calibration, evaluation });
  const [{ quantized, float }] = score!.metrics;
  return { losses, bytes: bytes.length, accuracy: quantized, float };
}
