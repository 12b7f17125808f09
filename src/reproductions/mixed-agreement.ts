/** The mixed kernel on the inputs of a rounded network, against what its file computes with. */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { blockSize, codeBytes, mixedKernels, packNibbles, packScales } from '../engine/kernels/mixed.ts';
import { isMixed } from '../formats/mixed-blocks.ts';
import { linearSites } from '../graph/linear.ts';
import { observeInputRows } from '../observe/input-rows.ts';
import type { Applied } from '../recipes/apply.ts';
import { Arena } from '../runtime/arena.ts';
import { rounded } from '../transform/layer-error.ts';

/** Rows of each input. */
const tokens = 4;

/** Largest ‖a − b‖ / ‖b‖ over layers, of the kernel's outputs and float64 products of decoded weights with rounded inputs; weights and inputs in groups of 128. */
export async function farthestFromKernel({ graph, weights, activations }: Applied, points: Feeds): Promise<number> {
  const sites = linearSites(graph).filter(({ id }) => weights.has(id));
  const seen = await observeInputRows(graph, ortNode, [points], sites, tokens);
  let farthest = 0;
  for (const site of sites) {
    const { values } = seen.get(site.input)!;
    const [matrix, format] = [weights.get(site.id)!, activations.get(site.output)!];
    const quantized = await matrix.read(0, site.rows);
    const decoded = matrix.format.decode(quantized);
    const inputs = rounded(values, tokens, site.cols, format);
    const blocks = site.cols / blockSize;
    const wide = Uint8Array.from({ length: blocks }, (_, b) => ((isMixed(format) ? format.mixed.groups.includes(b) : format.bits === 8) ? 1 : 0));
    const out = kernelOutputs(values, site.rows, blocks, wide, packNibbles(quantized.codes as Int8Array, site.rows, site.cols), packScales(quantized.scales, site.rows, blocks));
    let [difference, size] = [0, 0];
    for (let t = 0; t < tokens; t++) {
      for (let r = 0; r < site.rows; r++) {
        let sum = 0;
        for (let c = 0; c < site.cols; c++) sum += decoded[r * site.cols + c] * inputs[t * site.cols + c];
        difference += (out[t * site.rows + r] - sum) ** 2;
        size += sum ** 2;
      }
    }
    farthest = Math.max(farthest, Math.sqrt(difference / size));
  }
  return farthest;
}

function kernelOutputs(values: Float32Array, rows: number, blocks: number, wide: Uint8Array, codes: Uint8Array, scales: Float32Array): Float32Array {
  const arena = new Arena();
  const kernels = mixedKernels(arena.memory);
  const x = arena.take(4 * values.length);
  arena.floats(x, values.length).set(values);
  const [weights, side, flags] = [arena.take(codes.length), arena.take(4 * scales.length), arena.take(blocks)];
  arena.bytesAt(weights, codes.length).set(codes);
  arena.floats(side, scales.length).set(scales);
  arena.bytesAt(flags, blocks).set(wide);
  const inputs = { tokens, blocks, wide: flags, codes: arena.take(tokens * codeBytes(wide)), width: codeBytes(wide), scales: arena.take(4 * tokens * blocks), lifts: arena.take(4 * tokens * blocks) };
  const out = arena.take(4 * tokens * rows);
  kernels.roundBlocks(x, 0, inputs);
  kernels.product(weights, side, inputs, { out, stride: rows, first: 0, last: rows / 4 });
  return arena.floats(out, tokens * rows).slice();
}
