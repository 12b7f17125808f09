/** A small Mamba-1 whose every weight matters, and whose states last over chunks. */
import { languageModel, type LanguageModel } from '../../src/models/language-model.ts';
import { readMamba1Config } from '../../src/models/mamba1-config.ts';
import { mamba1Shapes } from '../../src/models/mamba1-weights.ts';
import { normal } from '../../src/numeric/random.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

export const [vocabulary, hidden, layers, state, rank] = [24, 8, 3, 4, 2];
export const authors = { d_model: hidden, n_layer: layers, vocab_size: vocabulary, ssm_cfg: { d_state: state, dt_rank: rank }, rms_norm: true, pad_vocab_size_multiple: 8 };

export function lively(raw: Record<string, unknown> = authors): LanguageModel {
  const tensors = [...mamba1Shapes(readMamba1Config(raw))].map(([name, shape], stream) => floatTensor(name, shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => {
    const n = normal(7, stream, i);
    return /A_log|dt_proj\.bias/.test(name) ? -2 + n / 2 : /norm|\.D$/.test(name) ? 1 + n / 4 : /conv|dt_proj/.test(name) ? n / 2 : n / 3;
  })));
  return languageModel({ name: 'lively', rawConfig: raw, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])), tokenizer: undefined });
}
