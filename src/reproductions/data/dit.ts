/**
 * The class-conditional diffusion transformer of the assets (MNIST digits, host-dit-mnist): its float trajectories as
 * calibration and judging points, the noise-prediction error of any graph on them, and samples beside the float ones.
 */
import { ortNode } from '../../engine/ort-node.ts';
import type { Feeds, Session } from '../../engine/session.ts';
import { i64, type Tensor } from '../../engine/tensor.ts';
import type { Graph } from '../../graph/graph.ts';
import { openModern } from '../../jobs/source-node.ts';
import { argMax } from '../../numeric/distribution.ts';
import { normal, permutation } from '../../numeric/random.ts';
import { takeRows } from '../../observe/data/dataset.ts';
import { readNpy } from '../../observe/data/index.ts';
import { openGraph } from '../../observe/taps.ts';
import { ddimSample, linearAlphaBar, pointsOf, type Asked, type DdimSettings, type Predict } from './ddim.ts';
import { readBytes } from './own-node.ts';

const folder = 'host-dit-mnist';
export const ditFiles = { model: `${folder}/model.onnx`, classifier: `${folder}/classifier.onnx`, noise: `${folder}/noise.npy` } as const;

const image = [1, 28, 28] as const;
const pixels = 28 * 28;
const noLabel = 10;
const alphaBar = linearAlphaBar(1000, 1e-4, 2e-2);
/** Points that run at a time. */
const chunk = 32;
const judgedPoints = 256;

export interface NoiseError {
  /** Mean squared difference from the noise that the float network predicts, by point. */
  readonly squared: Float64Array;
  /** Sum of the squared differences over the sum of the float network's squares. */
  readonly relative: number;
}

export interface SampleOptions {
  /** Default 20 of each. */
  readonly images?: number;
  readonly steps?: number;
  /** Default 2. */
  readonly guidance?: number;
  /** Start from noises made by a seed instead of the stored ones, digits in turn: what calibrates must not judge. */
  readonly seed?: number;
}

/** A network that answers; several of them can share a trajectory, each for its own time steps. */
export interface Predictor {
  readonly predict: Predict;
  /** The same session with more feeds at every call: weights that were promoted to inputs. */
  feeding(more: Feeds): Predictor;
  dispose(): Promise<void>;
}

/** A network, or one per time step. */
export type Network = Graph | ((t: number) => Graph);

export interface DitHost {
  /** The float network at a modern operator set: inputs x, t, y; output eps. */
  readonly graph: Graph;
  /** 256 points (x, t, y) of the float trajectories of 20 stored noises, 20 steps, guidance 2. */
  readonly judged: Feeds;
  /** So many points of float trajectories from noises made by a seed, to calibrate on. */
  points(count: number, seed: number): Promise<Feeds>;
  predictor(network: Network): Promise<Predictor>;
  /** Error of the predicted noise on the judged points; composites must be lowered. */
  noiseError(network: Network): Promise<NoiseError>;
  /** Samples [images, 1, 28, 28] of a network or predictor, from the stored noises. */
  sample(network: Network | Predictor, options?: SampleOptions): Promise<Float32Array>;
  /** Share of samples that the classifier takes for the digit that was asked for. */
  labelMatch(samples: Float32Array): Promise<number>;
  close(): Promise<void>;
}

const madeNoises = (count: number, seed: number): Tensor =>
  ({ type: 'f32', shape: [count, ...image], data: Float32Array.from({ length: count * pixels }, (_, i) => normal(seed, 0, i)) });

/** Numbers of `count` of the 100 stored noises, evenly spread; noise i belongs to digit ⌊i / 10⌋. */
const storedIndices = (count: number): number[] => Array.from({ length: count }, (_, i) => Math.floor((i * 100) / count));

export async function openDit(asset: (path: string) => string, { threads }: { readonly threads: number }): Promise<DitHost> {
  const model = await openModern(asset(ditFiles.model));
  const stored = readNpy(await readBytes(asset(ditFiles.noise)), ditFiles.noise).data as Float32Array;
  const noises = (indices: readonly number[]): Tensor => {
    const data = new Float32Array(indices.length * pixels);
    indices.forEach((index, i) => data.set(stored.subarray(index * pixels, (index + 1) * pixels), i * pixels));
    return { type: 'f32', shape: [indices.length, ...image], data };
  };

  async function predictor(network: Network): Promise<Predictor> {
    const sessions = new Map<Graph, Promise<Session>>();
    const sessionAt = (t: number): Promise<Session> => {
      const graph = typeof network === 'function' ? network(t) : network;
      const session = sessions.get(graph) ?? openGraph(graph, ortNode, { threads });
      sessions.set(graph, session);
      return session;
    };
    const feeding = (more: Feeds): Predictor => ({
      predict: async (x, t, labels) => {
        const { eps } = await (await sessionAt(t)).run({ ...more, x, t: i64([labels.length], labels.map(() => t)), y: i64([labels.length], labels) }, ['eps']);
        return eps.data as Float32Array;
      },
      feeding,
      dispose: async () => { for (const session of sessions.values()) await (await session).dispose(); },
    });
    return feeding({});
  }
  const settingsOf = ({ steps = 20, guidance = 2 }: SampleOptions): DdimSettings => ({ alphaBar, steps, guidance, noLabel });
  async function sample(network: Network | Predictor, options: SampleOptions = {}, visit?: (asked: Asked) => void): Promise<Float32Array> {
    const { images = 20, seed } = options;
    const indices = storedIndices(images);
    const start = seed === undefined ? noises(indices) : madeNoises(images, seed);
    const labels = indices.map((index, i) => (seed === undefined ? Math.floor(index / 10) : i % 10));
    const used = 'predict' in network ? network : await predictor(network);
    try {
      return await ddimSample(used.predict, start, labels, settingsOf(options), visit);
    } finally {
      if (used !== network) await used.dispose();
    }
  }
  async function predicted(network: Network, points: Feeds): Promise<Float32Array> {
    const times = Array.from(points.t.data as BigInt64Array, Number);
    const out = new Float32Array(times.length * pixels);
    const graphAt = typeof network === 'function' ? network : () => network;
    for (const graph of new Set(times.map(graphAt))) {
      const session = await openGraph(graph, ortNode, { threads });
      const mine = times.flatMap((t, i) => (graphAt(t) === graph ? [i] : []));
      try {
        for (let begin = 0; begin < mine.length; begin += chunk) {
          const indices = mine.slice(begin, begin + chunk);
          const { eps } = await session.run(picked(points, indices), ['eps']);
          indices.forEach((index, row) => out.set((eps.data as Float32Array).subarray(row * pixels, (row + 1) * pixels), index * pixels));
        }
      } finally {
        await session.dispose();
      }
    }
    return out;
  }

  const visited: Asked[] = [];
  await sample(model.graph, {}, (asked) => visited.push(asked));
  const judged = pointsOf(visited, judgedPoints, (step, count) => permutation(0, step, count), image);
  const float = await predicted(model.graph, judged);

  return {
    graph: model.graph, judged, predictor, sample: (network, options) => sample(network, options),
    async points(count, seed) {
      const images = Math.max(8, Math.ceil(count / 40));
      const asked: Asked[] = [];
      await sample(model.graph, { images, seed }, (seen) => asked.push(seen));
      return pointsOf(asked, count, (step, rowCount) => permutation(seed, step + 1, rowCount), image);
    },
    async noiseError(network) {
      const eps = await predicted(network, judged);
      const squared = new Float64Array(judgedPoints);
      let energy = 0;
      eps.forEach((value, i) => { squared[Math.floor(i / pixels)] += (value - float[i]) ** 2 / pixels; energy += float[i] ** 2 / pixels; });
      return { squared, relative: squared.reduce((sum, value) => sum + value, 0) / energy };
    },
    async labelMatch(samples) {
      const session = await ortNode.open({ path: asset(ditFiles.classifier) }, { threads });
      try {
        const count = samples.length / pixels;
        const { logits } = await session.run({ x: { type: 'f32', shape: [count, ...image], data: samples } });
        return storedIndices(count).filter((index, i) => argMax(logits.data as Float32Array, i * 10, 10) === Math.floor(index / 10)).length / count;
      } finally {
        await session.dispose();
      }
    },
    close: () => model.close(),
  };
}

/** Points `begin` … `end` of feeds. */
export const rows = (points: Feeds, begin: number, end: number): Feeds => picked(points, Array.from({ length: end - begin }, (_, i) => begin + i));

/** Points with these numbers. */
export const picked = (points: Feeds, indices: readonly number[]): Feeds =>
  Object.fromEntries(Object.entries(points).map(([name, tensor]) => [name, takeRows(tensor, indices)]));

/** PSNR in dB of each sample to its float one; pixels reach from −1 to 1. */
export function samplePsnr(reference: Float32Array, samples: Float32Array): Float64Array {
  const squared = new Float64Array(samples.length / pixels);
  samples.forEach((value, i) => { squared[Math.floor(i / pixels)] += (value - reference[i]) ** 2 / pixels; });
  return squared.map((mean) => 10 * Math.log10(4 / Math.max(mean, 1e-12)));
}
