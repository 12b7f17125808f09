/**
 * Bias correction (Nagel et al. 2019, section 4.2): rounding shifts the mean output of a layer by E[(Ŵ − W)x]; the
 * bias takes the shift back. Means of x are observed, so nothing is assumed of their distribution.
 */
import type { Engine } from '../engine/session.ts';
import { floatTensor } from '../tensor-ref.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { numberTensor, readFloats } from '../graph/values.ts';
import { momentKey, observable, observeMoments } from '../observe/moments.ts';
import type { Batches } from '../observe/taps.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';

/** (W − Ŵ)·E[x] per output channel; matrices [rows, cols], `mean` of groups × cols. */
export function biasShift(site: Pick<Linear, 'rows' | 'cols' | 'groups'>, weight: Float32Array, decoded: Float32Array, mean: ArrayLike<number>): Float64Array {
  const { rows, cols, groups } = site;
  const shift = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    const first = Math.floor((r * groups) / rows) * cols;
    for (let c = 0; c < cols; c++) shift[r] += (weight[r * cols + c] - decoded[r * cols + c]) * mean[first + c];
  }
  return shift;
}

/** The graph whose biases make up for what rounding shifts, on the means of the inputs that batches give. */
export async function correctBiases(graph: Graph, weights: ReadonlyMap<string, QuantizedMatrix>, engine: Engine, batches: Batches): Promise<Graph> {
  const sites = observable(linearSites(graph)).filter((site) => weights.has(site.id));
  const moments = await observeMoments(graph, engine, batches, sites, { hessian: false });
  const shifts = new Map<string, Float64Array>();
  for (const site of sites) {
    const matrix = weights.get(site.id)!;
    const decoded = matrix.format.decode(await matrix.read(0, matrix.rows));
    shifts.set(site.output, biasShift(site, await site.weightMatrix(), decoded, moments.get(momentKey(site))!.mean));
  }
  return correctBias(graph, shifts);
}

/** Adds shifts to the biases of sites, by name of their output; sites without a bias get one. */
export async function correctBias(graph: Graph, shifts: ReadonlyMap<string, ArrayLike<number>>): Promise<Graph> {
  const fresh = freshNames(graph);
  const weights = new Map(graph.weights);
  let nodes = graph.nodes;
  for (const site of linearSites(graph)) {
    const shift = shifts.get(site.output);
    if (shift === undefined) continue;
    const name = fresh(`${site.id}_bias`);
    if (site.bias !== undefined) {
      const { bias } = site;
      const old = graph.weights.get(bias.name)!;
      const values = (await readFloats(old)).map((v, i) => v + shift[i]);
      weights.set(name, numberTensor(name, old.type as 'f32', old.shape, values));
      nodes = nodes.map((node) => (node === bias.node ? { ...node, inputs: node.inputs.map((input) => (input === bias.name ? name : input)) } : node));
    } else if ((site.kind === 'Conv' || site.kind === 'Gemm' || site.kind === 'ConvTranspose') && (site.node.inputs[2] ?? '') === '') {
      weights.set(name, site.weight.type === 'f32'
        ? floatTensor(name, [site.rows], Float32Array.from(shift))
        : numberTensor(name, site.weight.type as 'f16', [site.rows], shift));
      nodes = nodes.map((node) => (node === site.node ? { ...node, inputs: [node.inputs[0], node.inputs[1], name] } : node));
    } else {
      weights.set(name, numberTensor(name, site.weight.type as 'f32', [site.rows], shift));
      const bare = fresh(`${site.output}_unbiased`);
      nodes = nodes.flatMap((node) => (node === site.node
        ? [{ ...node, outputs: [bare] }, makeNode('Add', [bare, name], [site.output], { name: fresh(`${site.output}_bias`) })]
        : [node]));
    }
  }
  return { ...graph, nodes, weights };
}
