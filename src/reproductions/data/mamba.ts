/** Trained Mamba-2 models as hosts, with windows of training text that calibrate and of held-out text that judge. */
import type { Feeds } from '../../engine/session.ts';
import { i64 } from '../../engine/tensor.ts';
import type { Graph } from '../../graph/graph.ts';
import { openLanguageModel } from '../../models/language-model.ts';
import { openTokenizer } from '../../models/tokenizer.ts';
import { randomInteger } from '../../numeric/random.ts';
import type { JudgedWindow } from './llama.ts';
import { openFolder, own, readText } from './own-node.ts';

export interface MambaHost {
  readonly name: string;
  readonly graph: Graph;
  /** State groups; B and C of each have scales of their own. */
  readonly groups: number;
  /** Tokens of a window. */
  readonly window: number;
  /** One batch of windows of training text, at places drawn by the seed. */
  calibration(count: number, seed: number): Feeds;
  /** Held-out windows, evenly spread. */
  judged(count: number): readonly JudgedWindow[];
}

/** Models of the repository, on bytes: a Mamba-2 with four state groups, and a Mamba-1. */
export const fourGroups = own('mamba2-groups');
export const firstMamba = own('mamba1-bytes');

/** A model in a folder, seen through windows of so many tokens. */
export async function openMamba(name: string, folder: string, window: number): Promise<MambaHost> {
  const model = await openLanguageModel(await openFolder(folder));
  const { config } = model;
  const tokenizer = openTokenizer(model.tokenizer!);
  const [train, heldout] = await Promise.all(['train', 'heldout'].map(async (part) => tokenizer.encode(await readText(own(`shakespeare/${part}.txt`)), { addSpecialTokens: false })));
  const batchOf = (windows: readonly (readonly number[])[]): Feeds => ({ input_ids: i64([windows.length, window], windows.flat()) });
  return {
    name, window, graph: model.graph(), groups: config.family === 'mamba2' ? config.groups : 1,
    calibration: (count, seed) => batchOf(Array.from({ length: count }, (_, i) => {
      const at = randomInteger(seed, 0, i, train.length - window);
      return train.slice(at, at + window);
    })),
    judged: (count) => {
      const there = Math.floor((heldout.length - 1) / window);
      return Array.from({ length: count }, (_, i) => {
        const at = Math.floor((i * there) / count) * window;
        return { feeds: batchOf([heldout.slice(at, at + window)]), targets: heldout.slice(at + 1, at + window + 1) };
      });
    },
  };
}
