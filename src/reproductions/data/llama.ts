/** The trained language model that comes with the repository, windows of its training text and of held-out text, and how far another graph's predictions lie. */
import { ortNode } from '../../engine/ort-node.ts';
import type { Feeds } from '../../engine/session.ts';
import { i64 } from '../../engine/tensor.ts';
import type { Graph } from '../../graph/graph.ts';
import { openLanguageModel, type LanguageModel } from '../../models/language-model.ts';
import { openTokenizer } from '../../models/tokenizer.ts';
import { klDivergence, logSoftmax } from '../../numeric/distribution.ts';
import { randomInteger } from '../../numeric/random.ts';
import { openGraph } from '../../observe/taps.ts';
import { openFolder, own, readText } from './own-node.ts';

export const window = 256;
export interface LlamaHost {
  /** The model itself, for engines that need no graph. */
  readonly model: LanguageModel;
  /** `input_ids` [batch, sequence] → `logits`. */
  readonly graph: Graph;
  /** Windows of training text at places drawn by the seed, `batch` to a batch. */
  calibration(count: number, seed: number, batch?: number): Feeds[];
  /** Held-out windows, evenly spread, each a batch, with the token that follows each position. */
  judged(count: number): readonly JudgedWindow[];
  close(): Promise<void>;
}

export interface JudgedWindow { readonly feeds: Feeds; readonly targets: readonly number[] }

export async function openLlama(): Promise<LlamaHost> {
  const model = await openLanguageModel(await openFolder(own('host-llama-shakespeare')));
  const tokenizer = openTokenizer(model.tokenizer!);
  const [train, heldout] = await Promise.all(['train', 'heldout'].map(async (part) => tokenizer.encode(await readText(own(`shakespeare/${part}.txt`)))));
  const batchOf = (windows: readonly (readonly number[])[]): Feeds => ({ input_ids: i64([windows.length, window], windows.flat()) });
  return {
    model,
    graph: model.graph(),
    calibration(count, seed, batch = 8) {
      const all = Array.from({ length: count }, (_, i) => {
        const at = randomInteger(seed, 0, i, train.length - window);
        return train.slice(at, at + window);
      });
      return Array.from({ length: Math.ceil(count / batch) }, (_, i) => batchOf(all.slice(i * batch, (i + 1) * batch)));
    },
    judged(count) {
      const there = Math.floor((heldout.length - 1) / window);
      return Array.from({ length: count }, (_, i) => {
        const at = Math.floor((i * there) / count) * window;
        return { feeds: batchOf([heldout.slice(at, at + window)]), targets: heldout.slice(at + 1, at + window + 1) };
      });
    },
    close: () => model.close(),
  };
}

/** Logits of each judged window. */
export async function logitsOf(graph: Graph, judged: readonly JudgedWindow[], threads: number): Promise<Float32Array[]> {
  const session = await openGraph(graph, ortNode, { threads });
  try {
    const found: Float32Array[] = [];
    for (const { feeds } of judged) found.push((await session.run(feeds, ['logits'])).logits.data as Float32Array);
    return found;
  } finally {
    await session.dispose();
  }
}

/** By window: mean KL(float ‖ other) in nats per token, and the other's mean negative log-likelihood. */
export function distances(float: readonly Float32Array[], other: readonly Float32Array[], judged: readonly JudgedWindow[]): { readonly kl: number[]; readonly nll: number[] } {
  const [kl, nll]: number[][] = [[], []];
  judged.forEach(({ targets }, w) => {
    const width = float[w].length / targets.length;
    let [divergence, loss] = [0, 0];
    for (let at = 0; at < targets.length; at++) {
      const [p, q] = [logSoftmax(float[w], at * width, width), logSoftmax(other[w], at * width, width)];
      divergence += klDivergence(p, q);
      loss -= q[targets[at]];
    }
    kl.push(divergence / targets.length);
    nll.push(loss / targets.length);
  });
  return { kl, nll };
}
