/** Opens a written file in ONNX Runtime for Node and for the web (WebAssembly), and compares what they compute. */
import { readFile } from 'node:fs/promises';
import * as web from 'onnxruntime-web';
import { ortNode } from '../../src/engine/ort-node.ts';
import { ortWeb } from '../../src/engine/ort-web.ts';
import { bindFeeds, numbersOf } from '../../src/evaluate/feeds.ts';
import { ratioInDecibels } from '../../src/evaluate/metrics/signal.ts';
import type { Dataset } from '../../src/observe/data/index.ts';

const engines = [ortNode, ortWeb(web)];

/** dB of the worst output between both runtimes on some samples, or why one of them refuses the file. */
export async function compareRuntimes(path: string, dataset: Dataset, samples: number): Promise<{ readonly sqnr?: number; readonly failure?: string }> {
  const bytes = await readFile(path);
  const results: Record<string, ArrayLike<number>>[][] = [];
  for (const engine of engines) {
    try {
      const session = await engine.open({ bytes });
      const runs: Record<string, ArrayLike<number>>[] = [];
      for (let i = 0; i < Math.min(samples, dataset.count); i++) {
        const outputs = await session.run(bindFeeds((await dataset.batch([i])).feeds, session.inputs));
        runs.push(Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, Float64Array.from(numbersOf(tensor))])));
      }
      await session.dispose();
      results.push(runs);
    } catch (error) {
      return { failure: `${engine.name}: ${(error as Error).message}` };
    }
  }
  const [node, wasm] = results;
  const decibels = Object.keys(node[0]).map((name) => {
    let signal = 0;
    let noise = 0;
    node.forEach((run, i) => {
      for (let k = 0; k < run[name].length; k++) {
        signal += run[name][k] ** 2;
        noise += (wasm[i][name][k] - run[name][k]) ** 2;
      }
    });
    return ratioInDecibels(signal, noise);
  });
  return { sqnr: Math.min(...decibels) };
}
