/**
 * First and second moments of the inputs of linear sites. The sums are nodes appended to the graph, so that XᵀX leaves
 * the engine as one [cols, cols] matrix per batch. Inputs of convolutions become patches through a convolution with
 * one-hot kernels; groups of a convolution are pooled in everything but `mean`.
 */
import { defineErrors } from '../errors.ts';
import type { Engine, Feeds } from '../engine/session.ts';
import { floatTensor, type TensorRef } from '../tensor-ref.ts';
import { int, ints, int64Tensor } from '../graph/build.ts';
import type { Attribute, Graph, Node } from '../graph/graph.ts';
import { siteLabel, type Linear } from '../graph/linear.ts';
import { withOutputs } from '../graph/outputs.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { noBatches, openGraph, type Batches } from './taps.ts';

/** What the inputs of a site look like; shaped as the rounders of `round/` want it. */
export interface Moments {
  /** Rows of X that were seen: samples × positions (× groups). */
  readonly count: number;
  /** Mean of xᵀx, [cols, cols]; absent when not asked for. */
  readonly hessian?: Float64Array;
  /** Means per column; `mean` has groups × cols entries. */
  readonly mean: Float64Array;
  readonly meanAbsolute: Float32Array;
  readonly meanSquare: Float32Array;
  readonly maxAbsolute: Float32Array;
}

export interface MomentOptions {
  /** Collect XᵀX too: cols² numbers per input. Default true. */
  readonly hessian?: boolean;
}

const errors = defineErrors('moments', {
  kind: (f: { site: string }) => `${f.site}: moments are observed of MatMul, Gemm and Conv inputs`,
});

/** Sites whose inputs can be observed as rows of a matrix. */
export const observable = (sites: readonly Linear[]): Linear[] => sites.filter((site) => site.kind !== 'Gather' && site.kind !== 'ConvTranspose');

/** Moments by `momentKey` of each site; sites that read the same input through the same shape share one entry. */
export async function observeMoments(
  graph: Graph, engine: Engine, batches: Batches, sites: readonly Linear[], options: MomentOptions = {},
): Promise<Map<string, Moments>> {
  const hessian = options.hessian ?? true;
  const probes = new Map<string, Probe>();
  const nodes: Node[] = [];
  const weights = new Map(graph.weights);
  const fresh = freshNames(graph);
  for (const site of sites) {
    const key = momentKey(site);
    if (!probes.has(key)) probes.set(key, appendProbe(site, graph, nodes, weights, fresh, hessian));
  }
  const names = [...probes.values()].flatMap((probe) => probe.outputs);
  const session = await openGraph(await withOutputs({ ...graph, nodes: [...graph.nodes, ...nodes], weights }, names), engine);
  try {
    let seen = 0;
    for await (const feeds of batches as AsyncIterable<Feeds>) {
      const results = await session.run(feeds, names);
      for (const probe of probes.values()) probe.add(probe.outputs.map((name) => results[name].data as Float32Array | BigInt64Array));
      seen++;
    }
    if (seen === 0) throw noBatches({});
  } finally {
    await session.dispose();
  }
  return new Map([...probes].map(([key, probe]) => [key, probe.moments()]));
}

const convAttributes = ['strides', 'pads', 'dilations', 'auto_pad'] as const;

/** Sites with one key see the same matrix X. */
export function momentKey(site: Linear): string {
  if (site.kind !== 'Conv') return site.input;
  const geometry = convAttributes.map((name) => JSON.stringify(site.node.attributes[name]?.value ?? null));
  return [site.input, site.kernel.join('x'), site.groups, ...geometry].join(' ');
}

interface Probe {
  readonly outputs: readonly string[];
  add(results: readonly (Float32Array | BigInt64Array)[]): void;
  moments(): Moments;
}

function appendProbe(
  site: Linear, graph: Graph, nodes: Node[], weights: Map<string, TensorRef>, fresh: (stem: string) => string, hessian: boolean,
): Probe {
  if (site.kind === 'ConvTranspose' || site.kind === 'Gather') throw errors.kind({ site: siteLabel(site) });
  const { cols, groups } = site;
  const width = cols * groups;
  const op = (type: string, inputs: string[], attributes: Record<string, Attribute> = {}): string => {
    const output = fresh(`${site.input}_${type}`);
    nodes.push(makeNode(type, inputs, [output], { name: output, attributes }));
    return output;
  };
  const constant = (tensor: (name: string) => TensorRef): string => {
    const name = fresh('moments_constant');
    weights.set(name, tensor(name));
    return name;
  };
  const opset = graph.opset.get('') ?? 13;
  /** Over the rows; the axes of ReduceSum became an input with opset 13, of the other reductions with 18. */
  const reduce = (type: 'ReduceSum' | 'ReduceMax', x: string): string => {
    const keep = { keepdims: int(0) };
    return opset >= (type === 'ReduceSum' ? 13 : 18)
      ? op(type, [x, constant((name) => int64Tensor(name, [0]))], keep)
      : op(type, [x], { ...keep, axes: ints([0]) });
  };
  const reshape = (x: string, to: number[]): string => op('Reshape', [x, constant((name) => int64Tensor(name, to))]);

  let x = op('Cast', [site.input], { to: int(1) });
  if (site.kind === 'Conv') {
    const taps = site.kernel.reduce((product, extent) => product * extent, 1);
    const channels = width / taps;
    if (taps > 1 || convAttributes.some((name) => site.node.attributes[name] !== undefined)) {
      const oneHot = new Float32Array(width * taps);
      for (let c = 0; c < channels; c++) for (let t = 0; t < taps; t++) oneHot[(c * taps + t) * taps + t] = 1;
      const kernel = constant((name) => floatTensor(name, [width, 1, ...site.kernel], oneHot));
      const attributes: Record<string, Attribute> = { group: int(channels), kernel_shape: ints(site.kernel) };
      for (const name of convAttributes) if (site.node.attributes[name] !== undefined) attributes[name] = site.node.attributes[name];
      x = op('Conv', [x, kernel], attributes);
    }
    const spatial = site.kernel.map((_, i) => i + 2);
    x = op('Transpose', [x], { perm: ints([0, ...spatial, 1]) });
  }
  x = reshape(x, [-1, width]);
  const size = op('Abs', [x]);
  const outputs = [
    op('Shape', [x]), reduce('ReduceSum', x), reduce('ReduceSum', size), reduce('ReduceSum', op('Mul', [x, x])), reduce('ReduceMax', size),
  ];
  if (hessian) {
    const rows = groups === 1 ? x : reshape(x, [-1, cols]);
    outputs.push(op('Gemm', [rows, rows], { transA: int(1) }));
  }

  let count = 0;
  const [sum, absolute, square, max] = [0, 1, 2, 3].map(() => new Float64Array(width));
  const products = hessian ? new Float64Array(cols * cols) : undefined;
  return {
    outputs,
    add([shape, sums, absolutes, squares, maxima, gram]) {
      count += Number(shape[0]);
      for (let i = 0; i < width; i++) {
        sum[i] += sums[i] as number;
        absolute[i] += absolutes[i] as number;
        square[i] += squares[i] as number;
        max[i] = Math.max(max[i], maxima[i] as number);
      }
      if (products !== undefined) for (let i = 0; i < products.length; i++) products[i] += gram[i] as number;
    },
    moments() {
      const pooled = (values: Float64Array): Float32Array => {
        const out = new Float64Array(cols);
        for (let i = 0; i < width; i++) out[i % cols] += values[i] / (count * groups);
        return Float32Array.from(out);
      };
      // Sums become means in place: a second copy is 250 MB at 5632 columns. Called once.
      if (products !== undefined) for (let i = 0; i < products.length; i++) products[i] /= count * groups;
      const maxAbsolute = new Float32Array(cols);
      for (let i = 0; i < width; i++) maxAbsolute[i % cols] = Math.max(maxAbsolute[i % cols], max[i]);
      return {
        count: count * groups, mean: sum.map((v) => v / count), meanAbsolute: pooled(absolute), meanSquare: pooled(square), maxAbsolute,
        ...(products === undefined ? {} : { hessian: products }),
      };
    },
  };
}
