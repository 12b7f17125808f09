/**
 * Every place where a weight matrix multiplies an activation, seen as one thing: a matrix [out, in] between an input
 * and an output value. Rounders and formats see matrices only; this file knows how each operator stores them.
 */
import { defineErrors } from '../errors.ts';
import { elementTypes, memoryTensor, type TensorRef } from '../tensor-ref.ts';
import type { Graph, Node } from './graph.ts';
import { label, viewOf, type GraphView } from './traverse.ts';
import { encodeNumbers, isFloatType, readFloats } from './values.ts';

export type LinearKind = 'MatMul' | 'Gemm' | 'Conv' | 'ConvTranspose' | 'Gather';

export interface Linear {
  /** Name of the weight. Sites with tied weights share it. */
  readonly id: string;
  readonly kind: LinearKind;
  readonly node: Node;
  /** As the operator stores it. */
  readonly weight: TensorRef;
  /** Output channels; of `Gather`, entries of the table. */
  readonly rows: number;
  /** Input channels per group × kernel positions; of `Gather`, the width of an entry. */
  readonly cols: number;
  /** The weight lies [in, out] (MatMul, Gemm without transB) instead of [out, in]. */
  readonly transposed: boolean;
  /** Output channels fall into this many groups, each with its own input channels. */
  readonly groups: number;
  /** Kernel extents of convolutions, empty otherwise. */
  readonly kernel: readonly number[];
  /** Activation that is multiplied (of `Gather`, the indices). */
  readonly input: string;
  readonly output: string;
  /** Weight added to each output channel: of the node itself, or of the Add that follows a MatMul. */
  readonly bias: { readonly name: string; readonly node: Node } | undefined;
  /** Sites with the same id read the same activation and may share its scale or rotation. */
  readonly sharedInputGroup: string;
  /** The whole matrix, row-major [rows, cols]. */
  weightMatrix(): Promise<Float32Array>;
  /** Rows `[begin, end)` of the matrix, with memory for these rows only. */
  readRows(begin: number, end: number): Promise<Float32Array>;
}

const errors = defineErrors('linear', {
  shape: (f: { id: string; expected: number; found: number }) => `weight ${f.id}: a matrix of ${f.expected} values expected, ${f.found} given`,
});

export interface LinearOptions {
  /** Count Gather from a two-dimensional float table (embeddings) as sites too. Default false. */
  readonly gather?: boolean;
}

/** All linear sites of the outer graph, in order of execution. Weights must be float; activation × activation is none. */
export function linearSites(graph: Graph, options: LinearOptions = {}): Linear[] {
  const view = viewOf(graph);
  const sites: Linear[] = [];
  for (const node of graph.nodes) {
    if (node.domain !== '') continue;
    const site = siteOf(node, view, options);
    if (site !== undefined) sites.push(site);
  }
  return sites;
}

/** One site of every weight that is multiplied, in order of execution: that of its last use, where it is used more than once. */
export const weightSites = (graph: Graph, options: LinearOptions = {}): Linear[] => [...new Map(linearSites(graph, options).map((site) => [site.id, site])).values()];

function siteOf(node: Node, view: GraphView, options: LinearOptions): Linear | undefined {
  const { weights } = view.graph;
  const of = (index: number): TensorRef | undefined => {
    const weight = weights.get(node.inputs[index] ?? '');
    return weight !== undefined && isFloatType(weight.type) ? weight : undefined;
  };
  const int = (name: string, fallback: number): number => {
    const attribute = node.attributes[name];
    return attribute?.kind === 'int' ? attribute.value : fallback;
  };
  switch (node.op) {
    case 'MatMul': {
      const weight = of(1);
      if (weight?.shape.length !== 2 || weights.has(node.inputs[0])) return undefined;
      return makeSite(node, 'MatMul', weight, 1, weight.shape[1], weight.shape[0], true, 1, [], followingBias(node, weight.shape[1], view));
    }
    case 'Gemm': {
      const weight = of(1);
      if (weight?.shape.length !== 2 || weights.has(node.inputs[0]) || int('transA', 0) !== 0) return undefined;
      const transposed = int('transB', 0) === 0;
      const [rows, cols] = transposed ? [weight.shape[1], weight.shape[0]] : weight.shape;
      return makeSite(node, 'Gemm', weight, 1, rows, cols, transposed, 1, [], ownBias(node, 2, view));
    }
    case 'Conv': case 'ConvTranspose': {
      const weight = of(1);
      if (weight === undefined || weight.shape.length < 3 || weights.has(node.inputs[0])) return undefined;
      const groups = int('group', 1);
      const kernel = weight.shape.slice(2);
      const taps = kernel.reduce((product, extent) => product * extent, 1);
      const [first, second] = weight.shape;
      // Engines refuse such a node; here it must not be counted with.
      if (groups < 1 || first % groups !== 0) return undefined;
      if (node.op === 'Conv') return makeSite(node, 'Conv', weight, 1, first, second * taps, false, groups, kernel, ownBias(node, 2, view));
      return makeSite(node, 'ConvTranspose', weight, 1, second * groups, (first / groups) * taps, true, groups, kernel, ownBias(node, 2, view));
    }
    case 'Gather': {
      const weight = of(0);
      if (options.gather !== true || weight?.shape.length !== 2 || int('axis', 0) !== 0) return undefined;
      return makeSite(node, 'Gather', weight, 0, weight.shape[0], weight.shape[1], false, 1, [], undefined);
    }
    default: return undefined;
  }
}

function makeSite(
  node: Node, kind: LinearKind, weight: TensorRef, weightIndex: 0 | 1, rows: number, cols: number, transposed: boolean,
  groups: number, kernel: readonly number[], bias: Linear['bias'],
): Linear {
  const input = node.inputs[1 - weightIndex];
  const readRows = (begin: number, end: number): Promise<Float32Array> => (
    kind === 'ConvTranspose' ? readConvTranspose(weight, groups, begin, end)
    : transposed && weight.transposeOf !== undefined ? readFloats(weight.transposeOf, begin * cols, end * cols)
    : transposed ? readColumns(weight, begin, end)
    : readFloats(weight, begin * cols, end * cols));
  return {
    id: node.inputs[weightIndex], kind, node, weight, rows, cols, transposed, groups, kernel, input, output: node.outputs[0], bias,
    sharedInputGroup: kind === 'Gather' ? `${input} → ${node.inputs[weightIndex]}` : input,
    readRows, weightMatrix: () => readRows(0, rows),
  };
}

function ownBias(node: Node, index: number, { graph }: GraphView): Linear['bias'] {
  const name = node.inputs[index] ?? '';
  return graph.weights.has(name) ? { name, node } : undefined;
}

/** The vector that an Add puts on each output channel of a MatMul, where nothing else sees the sum before it. */
function followingBias(node: Node, rows: number, view: GraphView): Linear['bias'] {
  const next = view.onlyConsumer(node.outputs[0]);
  if (next?.op !== 'Add' || next.domain !== '') return undefined;
  const name = next.inputs[next.inputs[0] === node.outputs[0] ? 1 : 0];
  const shape = view.graph.weights.get(name)?.shape;
  return shape?.length === 1 && shape[0] === rows ? { name, node: next } : undefined;
}

/** Values of a transposed read held at a time: 4 MiB of float32. */
const readAtOnce = 1024 * 1024;

/** Columns `[begin, end)` of a stored [in, out] matrix as rows; passes over the tensor in stripes. */
async function readColumns(weight: TensorRef, begin: number, end: number): Promise<Float32Array> {
  const [height, width] = weight.shape;
  const out = new Float32Array((end - begin) * height);
  const stripe = Math.max(1, Math.floor(readAtOnce / Math.max(1, width)));
  for (let top = 0; top < height; top += stripe) {
    const bottom = Math.min(height, top + stripe);
    const values = await readFloats(weight, top * width, bottom * width);
    for (let i = top; i < bottom; i++) {
      for (let j = begin; j < end; j++) out[(j - begin) * height + i] = values[(i - top) * width + j];
    }
  }
  return out;
}

/** Where value [row, channel, tap] of the matrix lies in a ConvTranspose weight [C, M/groups, kernel…]. */
function convTransposeIndex(shape: readonly number[], groups: number): { inPerGroup: number; taps: number; at(row: number, channel: number): number } {
  const [channels, outPerGroup, ...kernel] = shape;
  const taps = kernel.reduce((product, extent) => product * extent, 1);
  const inPerGroup = channels / groups;
  return {
    inPerGroup, taps,
    at: (row, channel) => {
      const group = Math.floor(row / outPerGroup);
      return ((group * inPerGroup + channel) * outPerGroup + (row % outPerGroup)) * taps;
    },
  };
}

async function readConvTranspose(weight: TensorRef, groups: number, begin: number, end: number): Promise<Float32Array> {
  const { inPerGroup, taps, at } = convTransposeIndex(weight.shape, groups);
  const values = await readFloats(weight);
  const out = new Float32Array((end - begin) * inPerGroup * taps);
  for (let row = begin; row < end; row++) {
    for (let channel = 0; channel < inPerGroup; channel++) {
      const from = at(row, channel);
      out.set(values.subarray(from, from + taps), ((row - begin) * inPerGroup + channel) * taps);
    }
  }
  return out;
}

/** The matrix [rows, cols] of a site in the order in which its weight is stored. */
export function storedOrder(site: Linear, matrix: Float32Array): Float32Array {
  const { rows, cols } = site;
  if (matrix.length !== rows * cols) throw errors.shape({ id: site.id, expected: rows * cols, found: matrix.length });
  if (!site.transposed) return matrix;
  const out = new Float32Array(matrix.length);
  if (site.kind === 'ConvTranspose') {
    const { inPerGroup, taps, at } = convTransposeIndex(site.weight.shape, site.groups);
    for (let row = 0; row < rows; row++) {
      for (let channel = 0; channel < inPerGroup; channel++) {
        const from = (row * inPerGroup + channel) * taps;
        out.set(matrix.subarray(from, from + taps), at(row, channel));
      }
    }
    return out;
  }
  for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col++) out[col * rows + row] = matrix[row * cols + col];
  return out;
}

/**
 * The graph with the weight of a site replaced by a matrix [rows, cols], in the layout and type it was stored in.
 * Every site tied to the weight changes with it.
 */
export function withMatrix(graph: Graph, site: Linear, matrix: Float32Array): Graph {
  const { type, shape } = site.weight;
  const stored = storedOrder(site, matrix);
  const bytes = type === 'f32' ? new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength) : encodeNumbers(type as 'f16', stored);
  return { ...graph, weights: new Map(graph.weights).set(site.id, memoryTensor(site.id, type, shape, bytes)) };
}

/** Bytes that the weight of a site takes as it is stored. */
export const storedBytes = (site: Linear): number => (site.rows * site.cols * elementTypes[site.weight.type as 'f32'].bits) / 8;

/** How a site is called in tables and messages. */
export const siteLabel = (site: Linear): string => `${site.kind} ${label(site.node)} (${site.id})`;
