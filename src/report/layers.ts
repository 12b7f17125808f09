/** What rounding did to single tensors. */
import type { Output, TensorLine } from '../jobs/result.ts';
import { sqnrOf } from '../numeric/statistics.ts';

/** Signal to quantization noise of a tensor, dB; undefined where it kept its values or holds nothing but zeros. */
export function tensorSqnr({ squaredError, sumOfSquares }: TensorLine): number | undefined {
  if (squaredError === undefined || sumOfSquares === undefined || !(sumOfSquares > 0)) return undefined;
  return sqnrOf(sumOfSquares, squaredError);
}

export interface LayerError {
  readonly tensor: string;
  /** Place in the model. */
  readonly index: number;
  /** dB, finite. */
  readonly sqnr: number;
}

/** Tensors of an output that lost something, in the order of the model. */
export function layerErrors({ tensors }: Pick<Output, 'tensors'>): LayerError[] {
  return tensors.flatMap((line, index) => {
    const sqnr = tensorSqnr(line);
    return sqnr === undefined || !Number.isFinite(sqnr) ? [] : [{ tensor: line.name, index, sqnr }];
  });
}

/** The noisiest first. */
export const worstLayers = (output: Pick<Output, 'tensors'>, count: number): LayerError[] =>
  layerErrors(output).sort((a, b) => a.sqnr - b.sqnr || a.index - b.index).slice(0, count);
