/**
 * Language models in the clients that load them: `npm run bench clients`. GGUF files in llama.cpp, transformers.js folders in
 * @huggingface/transformers, low-bit safetensors folders in an independent reader. Exits with 3 where the assets are
 * absent, with 1 where something disagrees.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compareFolders, generations } from './clients/folders.ts';
import { compareGguf, ggufTypes, strictRefusal } from './clients/gguf.ts';
import { clientModels } from './clients/models.ts';

const assets = process.env.FEWBIT_ASSETS ?? new URL('../../shared/assets', import.meta.url).pathname;
if (!existsSync(join(assets, 'llm-stories260k'))) {
  process.stderr.write(`clients: no folder ${join(assets, 'llm-stories260k')}: give one that holds the models as FEWBIT_ASSETS=FOLDER\n`);
  process.exit(3);
}

let missed = 0;
const holds = (good: boolean): string => {
  if (!good) missed++;
  return good ? 'holds' : 'MISSES';
};
const nats = ({ max, mean, kl }: { readonly max: number; readonly mean: number; readonly kl: number }): string =>
  `${max.toFixed(4).padStart(8)} ${mean.toFixed(5).padStart(9)} ${kl.toExponential(1).padStart(9)}`;

const models = clientModels(assets);
const work = mkdtempSync(join(tmpdir(), 'fewbit-clients-'));
try {
  for (const model of models.filter(({ narrow }) => narrow)) {
    console.log(`Strict requests for ${model.name}, without --allow-fallback:`);
    for (const type of ggufTypes) console.log(`  ${type.padEnd(7)} ${await strictRefusal(model, type, join(work, 'strict')) ?? 'fits'}`);
  }

  console.log('\nDifferences of ln p over 192 tokens and the whole vocabulary, in nats: largest, mean; and KL.');
  console.log('With the rounding of activations put into our evaluation, and llama.cpp in float32 otherwise: median over 32 windows of 2 tokens of the largest.');
  console.log(`${''.padEnd(31)}${'llama.cpp to ours'.padEnd(30)}${'rounded activations to ours'.padEnd(30)}${'mean may be'.padEnd(13)}${'median'.padEnd(10)}may be`);
  for (const model of models) {
    for (const type of ggufTypes) {
      const { found, explained, allowed, sharp, others, holds: good } = await compareGguf(model, type, work);
      console.log(`${model.name.padEnd(23)} ${type.padEnd(7)}${nats(found)}  ${nats(explained)}  ${allowed.toFixed(5).padEnd(13)}${sharp.median.toExponential(1).padEnd(10)}${(sharp.allowed === undefined ? 'no bound' : `${sharp.allowed.toExponential(0)}, so are ${sharp.within} of ${sharp.of}`).padEnd(23)}${holds(good)}${others === '' ? '' : ` (${others})`}`);
    }
  }

  console.log('\nGreedy text of 64 tokens by transformers.js, against the float model on ONNX Runtime:');
  for (const model of models) {
    for (const { dtype, same, count } of await generations(model, work)) {
      const verdict = dtype === 'fp32' ? ` ${holds(same === count)}` : '';
      console.log(`${model.name.padEnd(23)} ${dtype.padEnd(6)} the first ${same} of ${count} tokens are equal${verdict}`);
    }
  }

  console.log('\nLow-bit folders: our reader against an independent one, and both against the float weights:');
  for (const model of models) {
    for (const { layout, format, weights, apart, sqnr, refused } of await compareFolders(model, work)) {
      const label = `${model.name.padEnd(23)} ${`${layout} ${format}`.padEnd(30)}`;
      console.log(refused !== undefined ? `${label} refused: ${refused}` : `${label} ${weights} weights, largest relative difference ${apart.toExponential(1)} ${holds(apart <= 2 ** -22)}, SQNR to float ${sqnr.toFixed(1)} dB`);
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exit(missed > 0 ? 1 : 0);
