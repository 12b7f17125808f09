/** Activations in floating-point codes with a fixed scale: their search on samples, and how they stand in a graph. */
import type { MiniFloat } from '../formats/minifloat-code.ts';
import type { ScaledFormat } from '../formats/scaled.ts';
import type { Graph } from '../graph/graph.ts';
import { throughNodes } from '../graph/layer-inputs.ts';
import { appendFloatRounding, type FloatType } from './composites/float-rounding.ts';

export interface FixedFloat<T extends FloatType = FloatType> { readonly type: T; readonly scale: number }

/** The graph with inputs of layers seen through a floating-point type times a scale, by value; in standard operators. */
export const fixFloatInputs = (graph: Graph, types: ReadonlyMap<string, FixedFloat>): Graph => throughNodes(graph, types.keys(), (tape, value) => {
  const { type, scale } = types.get(value)!;
  const step = tape.constant(scale);
  return tape.op('Mul', [appendFloatRounding(tape, tape.op('Div', [value, step]), type), step]);
});

/** Of floating-point formats per tensor, the one with the smallest squared error on samples of a value, its scale searched too. */
export function searchFixedFloat(values: Float32Array, candidates: readonly ScaledFormat[]): FixedFloat<MiniFloat> & { readonly squaredError: number } {
  let best: (FixedFloat<MiniFloat> & { squaredError: number }) | undefined;
  for (const format of candidates) {
    const { scales, squaredError } = format.encode(values, 1, values.length, { search: 'mse' });
    if (best === undefined || squaredError < best.squaredError) best = { type: format.symmetric!.grid.type!, scale: scales[0], squaredError };
  }
  return best!;
}
