/**
 * GGUF files of the main job in llama.cpp, against our own evaluation of the same file: our reader decodes the file into a
 * graph, ONNX Runtime runs it in float32.
 *
 * How far the two may lie apart follows from what llama.cpp does on a CPU and we do not: it rounds what enters a matrix to
 * 8 bits (half precision for F16), and keeps keys and values in half precision. The graph with the rounding of what enters
 * matrices put in (`rounded-activations.ts`) says, for each file, how much of a difference that makes: twice as much is
 * allowed, and half precision on top.
 *
 * The same graph gives a sharper test. With keys and values in float32 as well, both sides do the same, up to the order
 * of float32 sums. Now and then such a difference turns one 8-bit code into its neighbour, and all that follows sees that:
 * a chance of some 1e-5 for each number that enters a matrix, a third to a half for four tokens of the larger model. So
 * many windows of two tokens are evaluated, each on its own, and their median is held to what float32 allows. Two types have
 * more to them than the rounding of what enters: files all in F16, whose products llama.cpp computes by kernels of their
 * own, get the bound of half precision; Q5_1, whose partner Q8_1 keeps the sum of each block in half precision, gets none.
 */
import { join } from 'node:path';
import { llamaCpp } from '../../src/engine/llama-cpp-node.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { FewbitError } from '../../src/errors.ts';
import { openFile } from '../../src/files/fs-node.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { planQuantize, quantize } from '../../src/jobs/quantize-node.ts';
import { openGgufLanguageModel } from '../../src/models/gguf-model.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { exactLogProbabilities } from './llama-cpp.ts';
import type { ClientModel } from './models.ts';
import { withRoundedActivations } from './rounded-activations.ts';

export const ggufTypes = ['f16', 'q8_0', 'q6_k', 'q5_k', 'q4_k', 'q4_0', 'q3_k', 'q2_k', 'iq4_nl', 'iq4_xs', 'mxfp4'];

/** Tokens compared: less than the shorter context of the two models. */
const tokens = 192;
/** Nats that half precision may add to a mean difference, and how many times that to the largest: some 2^-11 of every input. */
const halfPrecision = 2e-3;
const largest = 10;
/** Windows whose median is held to the sharper bound, and that bound in nats, where nothing is in half precision. */
const [windows, windowTokens] = [32, 2];
const sameArithmetic = 1e-4;

/** Over all positions and all entries of the vocabulary, in nats. */
interface Difference { readonly max: number; readonly mean: number; readonly kl: number }

export interface GgufRow {
  readonly model: string;
  readonly type: string;
  /** Tensors of another type than the one asked for, by the type they took. */
  readonly others: string;
  /** llama.cpp against our evaluation in float32. */
  readonly found: Difference;
  /** Our evaluation with activations rounded as llama.cpp does, against the one in float32. */
  readonly explained: Difference;
  /** Mean that `found` may have. */
  readonly allowed: number;
  /** llama.cpp in float32 and our evaluation with rounded activations, over short windows of the largest difference of each. */
  readonly sharp: { readonly median: number; readonly allowed?: number; /** Windows within the bound. */ readonly within?: number; readonly of?: number };
  readonly holds: boolean;
}

/** First refusal of a strict request, with the number of all; undefined where the plan can be carried out. */
export async function strictRefusal({ folder }: ClientModel, type: string, output: string): Promise<string | undefined> {
  try {
    const { outputs: [{ refusals }] } = await planQuantize({ model: folder, to: 'gguf', weights: [type], recipe: ['rtn'], output, verdict: false });
    return refusals.length === 0 ? undefined : `${refusals.length} tensors, first ${refusals[0]}`;
  } catch (error) {
    if (error instanceof FewbitError) return error.message;
    throw error;
  }
}

export async function compareGguf(model: ClientModel, type: string, work: string): Promise<GgufRow> {
  const output = join(work, `${model.name}-${type}`);
  const { outputs: [{ file, tensors }] } = await quantize({ model: model.folder, to: 'gguf', weights: [type], ...(type === 'f16' ? {} : { recipe: ['rtn'] }), output, verdict: false, allowFallback: model.narrow });
  const matrices = tensors.filter(({ shape }) => shape.length === 2);
  const read = await openGgufLanguageModel(await openFile(join(output, file)));
  try {
    const ids = openTokenizer(read.tokenizer!).encode(model.text.slice(0, 4000)).slice(0, tokens);
    const graph = read.graph();
    const roundedGraph = withRoundedActivations(graph, ({ name }) => read.tensors.get(name)!.type);
    const own = await logProbabilities(graph, [ids]);
    const rounded = await logProbabilities(roundedGraph, [ids]);
    const client = await llamaCpp.open({ path: join(output, file) });
    const { logits } = await client.run({ input_ids: i64([1, ids.length], ids) });
    await client.dispose();
    const vocabulary = read.config.vocabSize;
    const theirs = normalised(logits.data as Float32Array, vocabulary);
    const [found, explained] = [difference(own, theirs, vocabulary), difference(own, rounded, vocabulary)];
    const short = Array.from({ length: windows }, (_, w) => ids.slice(w * windowTokens, (w + 1) * windowTokens));
    const exact = await exactLogProbabilities(join(output, file), short, vocabulary);
    const alike = await logProbabilities(roundedGraph, short);
    const size = windowTokens * vocabulary;
    const largests = short.map((_, w) => difference(alike.subarray(w * size, (w + 1) * size), exact.subarray(w * size, (w + 1) * size), vocabulary).max);
    const allowed = 2 * explained.mean + halfPrecision;
    const types = new Set(matrices.map(({ target }) => target));
    const bound = types.has('q5_1') ? undefined : type === 'f16' ? largest * halfPrecision : sameArithmetic;
    const sharp = { median: median(largests), ...(bound === undefined ? {} : { allowed: bound, within: largests.filter((value) => value <= bound).length, of: windows }) };
    const holds = found.mean <= allowed && found.max <= 2 * explained.max + largest * halfPrecision && !(sharp.median > (bound ?? Infinity));
    return { model: model.name, type, others: counted(matrices.map(({ target }) => target).filter((target) => target !== type)), found, explained, allowed, sharp, holds };
  } finally {
    await read.close();
  }
}

/** ln p, [windows, tokens, vocabulary]. */
async function logProbabilities(graph: Graph, given: readonly (readonly number[])[]): Promise<Float64Array> {
  const session = await ortNode.open({ bytes: await onnxBytes(graph) }, { threads: 1 });
  const { logits } = await session.run({ input_ids: i64([given.length, given[0].length], given.flat()) });
  await session.dispose();
  return normalised(logits.data as Float32Array, logits.shape.at(-1)!);
}

/** Rows of logits as ln p. */
function normalised(logits: Float32Array, vocabulary: number): Float64Array {
  const out = new Float64Array(logits.length);
  for (let at = 0; at < logits.length; at += vocabulary) {
    const row = logits.subarray(at, at + vocabulary);
    const top = row.reduce((a, b) => Math.max(a, b));
    const norm = top + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
    row.forEach((logit, i) => { out[at + i] = logit - norm; });
  }
  return out;
}

function difference(a: Float64Array, b: Float64Array, vocabulary: number): Difference {
  let [max, sum, kl] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs(a[i] - b[i]);
    max = Math.max(max, apart);
    sum += apart;
    kl += Math.exp(a[i]) * (a[i] - b[i]);
  }
  return { max, mean: sum / a.length, kl: (kl * vocabulary) / a.length };
}

function counted(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
