/** A Mamba (Mamba-1) that has learned nothing yet: configuration and seeded weights, as a model that the rest of the project reads. */
import { floatTensor, type TensorRef } from '../tensor-ref.ts';
import { normal, uniform } from '../numeric/random.ts';
import { languageModel, type LanguageModel } from './language-model.ts';
import { readMamba1Config } from './mamba1-config.ts';
import { mamba1Shapes } from './mamba1-weights.ts';
import type { TokenizerFiles } from './tokenizer-files.ts';

export interface Mamba1Size {
  readonly vocabulary: number;
  readonly hidden: number;
  readonly layers: number;
  /** Width of the state of each channel. */
  readonly state: number;
  /** Width of the bottleneck that step sizes come from. */
  readonly stepRank: number;
}

/** config.json in the authors' spelling, of a model whose output head is its embedding table. */
export const mamba1Config = ({ vocabulary, hidden, layers, state, stepRank }: Mamba1Size): Record<string, unknown> => ({
  architectures: ['MambaLMHeadModel'], d_model: hidden, n_layer: layers, d_intermediate: 0, vocab_size: vocabulary,
  ssm_cfg: { layer: 'Mamba1', d_state: state, d_conv: 4, expand: 2, dt_rank: stepRank, bias: false, conv_bias: true },
  attn_layer_idx: [], attn_cfg: {}, rms_norm: true, norm_epsilon: 1e-5, pad_vocab_size_multiple: 1, tie_embeddings: true, torch_dtype: 'float32',
});

/** Step sizes from 0.001 to 0.1, evenly spread in their logarithm; the n-th state index decays at the rate n (arXiv:2312.00752, code). */
const steps = { low: 0.001, high: 0.1 };
/** Standard deviations of matrices at the start. */
const deviations: Readonly<Record<string, number>> = { embedding: 0.02, in_proj: 0.04, x_proj: 0.04, out_proj: 0.02 };

/** The same seed gives the same bytes. */
export function initialMamba1(name: string, size: Mamba1Size, { seed = 0, tokenizer }: { readonly seed?: number; readonly tokenizer?: TokenizerFiles } = {}): LanguageModel {
  const rawConfig = mamba1Config(size);
  const config = readMamba1Config(rawConfig);
  const [kernelBound, rankBound] = [1 / Math.sqrt(config.kernel), 1 / Math.sqrt(config.stepRank)];
  const startOf = (weight: string, stream: number): (i: number) => number => {
    const part = weight.split('.').findLast((word) => word !== 'weight' && word !== 'bias')!;
    const spread = (bound: number) => (i: number) => bound * (2 * uniform(seed, stream, i) - 1);
    if (part === 'A_log') return (i) => Math.log(1 + (i % config.stateSize));
    if (part === 'dt_proj' && weight.endsWith('bias')) return (i) => { const step = steps.low * (steps.high / steps.low) ** uniform(seed, stream, i); return step + Math.log(-Math.expm1(-step)); };
    if (part === 'dt_proj') return spread(rankBound);
    if (part === 'conv1d') return spread(kernelBound);
    return part in deviations ? (i) => deviations[part] * normal(seed, stream, i) : () => 1;
  };
  const tensors = [...mamba1Shapes(config)].map(([weight, shape], stream): [string, TensorRef] => {
    const start = startOf(weight, stream);
    return [weight, floatTensor(weight, shape, Float32Array.from({ length: shape.reduce((product, dim) => product * dim, 1) }, (_, i) => start(i)))];
  });
  return languageModel({ name, rawConfig, tensors: new Map(tensors), tokenizer });
}
