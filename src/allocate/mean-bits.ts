/**
 * Widths per layer for a mean over layers, from the traces of the Hessian (HASB, arXiv:2502.01199, section 3.3). The
 * objective as printed, Σ t/n · b, is least where sensitive layers have few bits; what rounding costs is Σ t/n · 2^(−2b),
 * which gives them many.
 */
import { bestWithin, paretoFront } from './pareto.ts';

export interface TracedLayer {
  /** Trace of the Hessian of the loss; an estimate below zero counts as zero. */
  readonly trace: number;
  /** Weights of the layer. */
  readonly count: number;
}

export interface MeanBitsOptions {
  readonly widths: readonly number[];
  /** Mean width over layers. */
  readonly mean: number;
  /** `printed`: the objective as the paper prints it. Default `rounding`. */
  readonly objective?: 'rounding' | 'printed';
}

/** The width of each layer. */
export function widthsByTrace(layers: readonly TracedLayer[], { widths, mean, objective = 'rounding' }: MeanBitsOptions): number[] {
  const most = Math.max(...widths);
  const printed = objective === 'printed';
  // The printed objective rises with the bits: held to at least the mean, it ends at the mean.
  const front = paretoFront(layers.map(({ trace, count }) => widths.map((width) => ({
    cost: printed ? most - width : width, loss: (Math.max(trace, 0) / count) * (printed ? width : 2 ** (-2 * width)),
  }))));
  const best = bestWithin(front, layers.length * (printed ? most - mean : mean))!;
  return best.choice.map((option) => widths[option]);
}
