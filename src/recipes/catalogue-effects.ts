/**
 * What a method is worth where it was measured, in one number per paper: the share of the plain way's loss that it takes
 * back. Two arms of the stored experiment on the network as it is, not on a twin with planted outliers; the plain way is
 * what one would do at the same bits without the paper.
 */
import type { Arm } from '../reproductions/reproduction.ts';

interface Compared {
  readonly metric: string;
  readonly arm: string;
  readonly plain: string;
  /** Of metrics that are no distance from the float network: where its own value stands, in the same metric unless named. */
  readonly float?: { readonly arm: string; readonly metric?: string };
  /** The metric is a speed: what counts is time. */
  readonly isSpeed?: true;
}

export const compared: Readonly<Record<string, Compared>> = {
  'arcquant': { metric: 'KL, nats', arm: 'language: ARCQuant', plain: 'language: NVFP4' },
  'comet': { metric: 'KL, nats', arm: 'language: COMET, an eighth', plain: 'language: W4A4' },
  'double-rounding': { metric: '4 bits top-1 %', arm: 'double rounding', plain: 'second rounding by shift', float: { arm: 'float, trained alike', metric: 'top-1 %' } },
  'fp4dit': { metric: 'predicted noise error, %', arm: 'W4A6 E2M1, E2M3 per token', plain: 'W4A6 INT4, INT6 per token' },
  'genie': { metric: 'W4A4 top-1 %', arm: "Genie's quantizer on generator", plain: 'AdaRound and QDrop per block, scales fixed, on generator', float: { arm: 'float', metric: 'top-1 %' } },
  'hawqv3': { metric: 'KL to float, nats', arm: 'weights alone, 4 and 8 bits: by the Hessian, half of the size', plain: 'weights alone, 4 and 8 bits: random, same size, median' },
  'krishnamoorthi-int8': { metric: 'top-1 %', arm: 'MobileNet: W4A8, corrected and frozen', plain: 'MobileNet: W4A8', float: { arm: 'MobileNet: float, trained alike' } },
  'lowbit-fp-diffusion': { metric: 'predicted noise error, %', arm: 'FP4 learned / FP8', plain: 'INT4 learned / INT8' },
  'lq-lora': { metric: 'KL', arm: '3 bits, LQ, trained', plain: '3 bits, QLoRA, trained' },
  'mambaquant': { metric: 'KL', arm: 'Mamba-2: W8A8 MambaQuant', plain: 'Mamba-2: W8A8 Hadamard' },
  'mixdq': { metric: 'predicted noise error, %', arm: 'mean 4 bits, decoupled', plain: 'W4A8' },
  'q-palette': { metric: 'KL', arm: '3.25 bits mixed', plain: '3.25 bits uniform' },
  'quamba2': { metric: 'KL', arm: 'four state groups: W4A8 Quamba2', plain: 'four state groups: W4A8 nearest' },
  'quantvggt': { metric: 'KL', arm: 'rotated, factors and ranges learned', plain: 'nearest' },
  'quest-llm': { metric: 'nats per byte', arm: 'W4A4 QuEST', plain: 'W4A4 straight-through, absmax', float: { arm: 'FP32' } },
  'sageattention2': { metric: 'KL, nats', arm: 'language model, INT4, Q and K smoothed', plain: 'language model, INT4' },
  'specmquant': { metric: 'tokens/s', arm: 'W4: two levels, 3', plain: 'W4: plain', isSpeed: true },
  'svdquant': { metric: 'KL, nats', arm: 'language INT4: SVDQuant', plain: 'language INT4: nearest' },
  'vidit-q': { metric: 'predicted noise error, %', arm: 'W4A8, alpha swept', plain: 'W4A8' },
  'vidkv': { metric: 'KL of the answers', arm: '1.5 and 1.58 bits', plain: '1.5 and 1.58 bits, values per token' },
  'zeroq': { metric: 'top-1 %', arm: 'weights 4 bits on average, from the frontier', plain: 'weights 4 bits everywhere', float: { arm: 'float' } },
};

export interface Effect extends Compared {
  /** In the metric: of the method, of the plain way, and of float where it counts. */
  readonly values: { readonly arm: number; readonly plain: number; readonly float?: number };
  /** Of the plain way's loss, or of its time, that is taken back: 1 all of it, below 0 where the method loses more. */
  readonly share: number;
}

/** Undefined where the paper has no pair of arms, or the result none of them. */
export function effectOf(recipe: string, arms: readonly Arm[]): Effect | undefined {
  const pair = compared[recipe] as Compared | undefined;
  if (pair === undefined) return undefined;
  const of = (arm: string, metric = pair.metric): number | undefined => arms.find(({ name }) => name === arm)?.metrics[metric]?.mean;
  const [arm, plain] = [of(pair.arm), of(pair.plain)];
  const float = pair.float === undefined ? undefined : of(pair.float.arm, pair.float.metric);
  if (arm === undefined || plain === undefined || (pair.float !== undefined && float === undefined)) return undefined;
  const rest = pair.isSpeed === true ? plain / arm : (arm - (float ?? 0)) / (plain - (float ?? 0));
  return { ...pair, values: { arm, plain, ...(float === undefined ? {} : { float }) }, share: 1 - rest };
}


/** `KL, nats 0.008 instead of 0.0133 (language: ARCQuant; language: NVFP4): takes back 39 % of the loss` */
export function effectText({ metric, arm, plain, float, isSpeed, values, share }: Effect): string {
  // Scores near that of float differ in their last digits.
  const figure = (value: number): string => String(Number(value.toPrecision(float === undefined ? 3 : 4)));
  const percent = Math.round(Math.abs(100 * share));
  const what = isSpeed === true ? 'time' : 'loss';
  const between = float === undefined ? '' : `, float ${figure(values.float!)}`;
  return `${metric} ${figure(values.arm)} instead of ${figure(values.plain)}${between} (${arm}; ${plain}): ${percent === 0 ? `the same ${what}` : share > 0 ? `takes back ${percent} % of the ${what}` : `${percent} % more ${what}`}`;
}
