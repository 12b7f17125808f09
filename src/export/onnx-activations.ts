/**
 * Inputs of layers rounded to a number format as they are multiplied, in standard operators beside low-bit weights. The
 * products themselves stay float, over numbers that both formats can hold.
 */
import { defineErrors } from '../errors.ts';
import type { NumberFormat } from '../formats/format.ts';
import { isScaled } from '../formats/scaled.ts';
import { lower } from '../graph/composite.ts';
import type { Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import { refusesDynamic } from '../train/composites/dynamic-quantize.ts';
import { composites } from '../train/composites/index.ts';
import { quantizeInputs } from '../train/quantize-inputs.ts';
import { note } from './onnx-note.ts';
import { exportWeightOnly, type WeightOnlyResult } from './onnx-weight-only.ts';

const errors = defineErrors('activations', {
  format: (f: { format: string; why: string }) => [`inputs of layers cannot be rounded to ${f.format}: ${f.why}`, 'choose a format such as int8/token, uint8/token, int4/g64, e4m3/token, mxfp4 or nvfp4'],
});

/** Throws where standard operators cannot round a value to the format. */
export function refuseInput(format: NumberFormat): void {
  const why = refusesDynamic(format);
  if (why !== undefined) throw errors.format({ format: format.name, why });
}

/** Whether the input of a site has the axis that the format's scales lie along; of images only scales per tensor make sense. */
export const quantizesInput = (site: Linear, format: NumberFormat): boolean =>
  site.kind !== 'Gather' && (site.kernel.length === 0 || (isScaled(format) && format.granularity.kind === 'tensor'));

/** Weights in codes, inputs rounded on the way in. */
export async function exportWithInputs(graph: Graph, weights: ReadonlyMap<string, QuantizedMatrix>, formats: ReadonlyMap<string, NumberFormat>): Promise<WeightOnlyResult> {
  const seen = lower(quantizeInputs(graph, formats), composites);
  // The runtime's own rounding of activations would round them twice.
  const made = await exportWeightOnly(seen, weights, { accuracyLevel: 0 });
  const kinds = [...new Set([...formats.values()].map(({ name }) => name))].join(', ');
  return { ...made, notes: [...made.notes, note('slow', 'inputs', `inputs of ${formats.size} layers are rounded to ${kinds} by standard operators at each call: the file computes what low-bit arithmetic would, slower than float`)] };
}
