/** What an evaluation says about one candidate. Every figure stands beside the float model's on the same samples. */
import type { Summary } from './metrics/summary.ts';

/** A task metric for both models. */
export interface Metric {
  readonly name: string;
  /** `%` values are 0..100; `points` differ by percentage points. */
  readonly unit: '%' | 'dB' | 'nats' | '' ;
  readonly better: 'higher' | 'lower';
  readonly float: number;
  readonly quantized: number;
  /** How much worse the candidate is, in the metric's unit; negative when it is better. */
  readonly drop: number;
  /** Standard error of `drop` where samples pair. */
  readonly dropError?: number;
}

/** Distance of the outputs themselves, labels or not. */
export interface OutputError {
  /** KL(float ‖ candidate) per sample or token, nats. */
  readonly kl?: Summary;
  /** Share of equal first choices, 0..1. */
  readonly agreement?: number;
  /** dB over all samples and outputs. */
  readonly sqnr?: number;
  readonly cosine?: number;
  /** PSNR of the candidate's images to the float model's, dB. */
  readonly psnrToFloat?: number;
  /** Root mean square change of the right token's probability, 0..1. */
  readonly deltaP?: number;
}

export interface Score {
  readonly candidate: string;
  readonly task: string;
  readonly data: string;
  readonly samples: number;
  /** Judged items where they are not samples: `12 800 tokens`. */
  readonly items?: { readonly count: number; readonly name: string };
  readonly error: OutputError;
  readonly metrics: readonly Metric[];
}

/** A metric with its drop worked out. */
export function metric(name: string, unit: Metric['unit'], better: Metric['better'], float: number, quantized: number, dropError?: number): Metric {
  // Equal infinities (a perfect image on both sides) differ by nothing.
  const drop = float === quantized ? 0 : better === 'higher' ? float - quantized : quantized - float;
  return { name, unit, better, float, quantized, drop, ...(dropError === undefined ? {} : { dropError }) };
}
