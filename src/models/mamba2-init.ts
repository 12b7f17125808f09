/** A Mamba-2 that has learned nothing yet: configuration and seeded weights, as a model that the rest of the project reads. */
import { floatTensor, type TensorRef } from '../tensor-ref.ts';
import { normal, uniform } from '../numeric/random.ts';
import { languageModel, type LanguageModel } from './language-model.ts';
import { readMamba2Config } from './mamba2-config.ts';
import { mamba2Shapes } from './mamba2-weights.ts';
import type { TokenizerFiles } from './tokenizer-files.ts';

export interface Mamba2Size {
  readonly vocabulary: number;
  readonly hidden: number;
  readonly layers: number;
  /** Channels of a head; the heads together have twice the width of the model. */
  readonly headDim: number;
  /** Width of the state of each channel. */
  readonly state: number;
  readonly groups: number;
  /** Tokens that are multiplied in one piece. */
  readonly chunk: number;
}

/** config.json in the authors' spelling, of a model whose output head is its embedding table. */
export const mamba2Config = ({ vocabulary, hidden, layers, headDim, state, groups, chunk }: Mamba2Size): Record<string, unknown> => ({
  architectures: ['MambaLMHeadModel'], d_model: hidden, n_layer: layers, d_intermediate: 0, vocab_size: vocabulary,
  ssm_cfg: { layer: 'Mamba2', d_state: state, d_conv: 4, expand: 2, headdim: headDim, ngroups: groups, chunk_size: chunk, rmsnorm: true, norm_before_gate: false, bias: false, conv_bias: true, D_has_hdim: false },
  attn_layer_idx: [], attn_cfg: {}, rms_norm: true, norm_epsilon: 1e-5, pad_vocab_size_multiple: 1, tie_embeddings: true, torch_dtype: 'float32',
});

/** Decay rates from 1 to 16 and step sizes from 0.001 to 0.1, evenly spread in their logarithm (arXiv:2405.21060, code). */
const steps = { low: 0.001, high: 0.1 };
const rates = { low: 1, high: 16 };
/** Standard deviations of matrices at the start. */
const deviations: Readonly<Record<string, number>> = { embedding: 0.02, in_proj: 0.04, out_proj: 0.015 };

/** The same seed gives the same bytes. */
export function initialMamba2(name: string, size: Mamba2Size, { seed = 0, tokenizer }: { readonly seed?: number; readonly tokenizer?: TokenizerFiles } = {}): LanguageModel {
  const rawConfig = mamba2Config(size);
  const config = readMamba2Config(rawConfig);
  const tensors = [...mamba2Shapes(config)].map(([weight, shape], stream): [string, TensorRef] => {
    const count = shape.reduce((product, dim) => product * dim, 1);
    const start = startOf(weight, config.kernel, (i) => normal(seed, stream, i), (i) => uniform(seed, stream, i));
    return [weight, floatTensor(weight, shape, Float32Array.from({ length: count }, (_, i) => start(i)))];
  });
  return languageModel({ name, rawConfig, tensors: new Map(tensors), tokenizer });
}

function startOf(weight: string, kernel: number, normalAt: (i: number) => number, uniformAt: (i: number) => number): (i: number) => number {
  const part = weight.split('.').findLast((word) => word !== 'weight' && word !== 'bias')!;
  const bound = 1 / Math.sqrt(kernel);
  switch (part) {
    case 'A_log': return (i) => Math.log(rates.low + (rates.high - rates.low) * uniformAt(i));
    case 'dt_bias': return (i) => {
      const step = steps.low * (steps.high / steps.low) ** uniformAt(i);
      return step + Math.log(-Math.expm1(-step));
    };
    case 'conv1d': return (i) => bound * (2 * uniformAt(i) - 1);
    case 'embedding': case 'in_proj': case 'out_proj': return (i) => deviations[part] * normalAt(i);
    default: return () => 1;
  }
}
