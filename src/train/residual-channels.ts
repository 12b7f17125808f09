/**
 * Residual channels (ARCQuant, arXiv:2601.07475): what rounding takes from the last channels of an input follows them as
 * more channels, x′ = [x, (x − Q(x))_S], and columns of the weight are repeated, W′ = [W, W_S]. Rounded like any input,
 * x′·W′ᵀ = Q(x)·Wᵀ + Q(x − Q(x))_S·W_Sᵀ: one product of K + S channels in the format itself.
 */
import type { NumberFormat, Quantized } from '../formats/format.ts';
import { isScaled } from '../formats/scaled.ts';
import { lower } from '../graph/composite.ts';
import type { Graph } from '../graph/graph.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import { int } from '../graph/build.ts';
import { storedOrder, type Linear } from '../graph/linear.ts';
import { freshNames } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { floatTensor } from '../tensor-ref.ts';
import { quantizedWhole, type QuantizedMatrix } from '../round/quantized-matrix.ts';
import { appendDynamicQuantize } from './composites/dynamic-quantize.ts';
import { composites } from './composites/index.ts';

/** Layers that read one value, and the format it takes. */
export interface ResidualInput { readonly sites: readonly Linear[]; readonly format: NumberFormat; readonly channels: number }

/** Values that a block of the format holds: repeated columns keep their codes and scales only where blocks end with them. */
export function blockOf(format: NumberFormat): number | undefined {
  return isScaled(format) && format.granularity.kind === 'group' ? format.granularity.size : undefined;
}

/**
 * The number of channels whose residuals are kept: those that hold the share of values above an eighth of their token's
 * largest, in steps of 64, at most all. Rows [count, cols].
 */
export function residualChannels(values: ArrayLike<number>, count: number, cols: number): number {
  let above = 0;
  for (let row = 0; row < count; row++) {
    let most = 0;
    for (let i = row * cols; i < (row + 1) * cols; i++) most = Math.max(most, Math.abs(values[i]));
    for (let i = row * cols; i < (row + 1) * cols; i++) if (Math.abs(values[i]) > most / 8) above++;
  }
  return stepsOf64(cols, above / (count * cols));
}

/** Channels for a share of values: min(K, 64·⌈K·r/64⌉). */
export const stepsOf64 = (cols: number, share: number): number => Math.min(cols, 64 * Math.ceil((cols * share) / 64));

/** The weight with its last columns once more: codes and scales are the same bytes. */
export async function repeatColumns(matrix: QuantizedMatrix, channels: number, block: number): Promise<QuantizedMatrix> {
  const { format, rows, cols } = matrix;
  const whole = await matrix.read(0, rows);
  const widen = <T extends Int8Array | Uint8Array | Float32Array>(values: T, extra: number): T => {
    const [width, wide] = [values.length / rows, values.length / rows + extra];
    const out = new (values.constructor as new (length: number) => T)(rows * wide);
    for (let r = 0; r < rows; r++) {
      out.set(values.subarray(r * width, (r + 1) * width), r * wide);
      out.set(values.subarray((r + 1) * width - extra, (r + 1) * width), r * wide + width);
    }
    return out;
  };
  const quantized: Quantized = {
    ...whole, cols: cols + channels, codes: widen(whole.codes, channels), scales: widen(whole.scales, channels / block),
    scaleShape: [rows, whole.scaleShape[1] + channels / block], ...(whole.zeros === undefined ? {} : { zeros: widen(whole.zeros, channels / block) }),
  };
  return quantizedWhole(format, quantized, matrix.stats()?.sumOfSquares);
}

/** The graph whose layers read residual channels behind their inputs. It is no longer the float network: what it computes is meant to be rounded. */
export async function appendResiduals(graph: Graph, inputs: readonly ResidualInput[]): Promise<Graph> {
  const tape = new GraphTape(freshNames(graph));
  const wider = new Map<string, string>();
  const weights = new Map(graph.weights);
  for (const { sites, format, channels } of inputs) {
    const [{ input, cols }] = sites;
    const lost = tape.op('Sub', [input, appendDynamicQuantize(tape, input, format.name, cols)]);
    const last = channels === cols ? lost : tape.op('Slice', [lost, tape.ints([cols - channels]), tape.ints([cols]), tape.ints([-1])]);
    const joined = tape.op('Concat', [input, last], { axis: int(-1) });
    for (const site of sites) {
      wider.set(site.output, joined);
      const matrix = await site.weightMatrix();
      const width = cols + channels;
      const wide = new Float32Array(site.rows * width);
      for (let r = 0; r < site.rows; r++) {
        wide.set(matrix.subarray(r * cols, (r + 1) * cols), r * width);
        wide.set(matrix.subarray((r + 1) * cols - channels, (r + 1) * cols), r * width + cols);
      }
      weights.set(site.id, floatTensor(site.id, site.transposed ? [width, site.rows] : [site.rows, width], storedOrder({ ...site, cols: width }, wide)));
    }
  }
  const nodes = graph.nodes.map((node) => (wider.has(node.outputs[0]) ? { ...node, inputs: [wider.get(node.outputs[0])!, ...node.inputs.slice(1)] } : node));
  const next: Graph = { ...graph, nodes: [...nodes, ...tape.take()], weights: new Map([...weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]) };
  return lower({ ...next, nodes: sortNodes(next) }, composites);
}
