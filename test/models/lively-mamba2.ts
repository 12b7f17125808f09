/** A small Mamba-2 with four state groups whose every weight matters: gains and biases are not what they start from. */
import { languageModel, type LanguageModel } from '../../src/models/language-model.ts';
import { initialMamba2, mamba2Config } from '../../src/models/mamba2-init.ts';
import { normal } from '../../src/numeric/random.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

export const size = { vocabulary: 32, hidden: 16, layers: 2, headDim: 4, state: 5, groups: 4, chunk: 4 };
export const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];

/** `raw` is a configuration of these sizes, in which tensors have other names. */
export function lively(change: Partial<typeof size> = {}, raw: Record<string, unknown> = mamba2Config({ ...size, ...change }), rename: (name: string) => string = (name) => name): LanguageModel {
  const start = initialMamba2('lively', { ...size, ...change }, { seed: 3 });
  const tensors = [...start.tensors.values()].map((tensor, stream) => floatTensor(rename(tensor.name), tensor.shape, Float32Array.from({ length: tensor.byteLength / 4 }, (_, i) => {
    const n = normal(7, stream, i);
    return /A_log|dt_bias/.test(tensor.name) ? -0.5 + n / 2 : /norm|\.D$/.test(tensor.name) ? 1 + n / 4 : /conv/.test(tensor.name) ? n / 2 : n / 4;
  })));
  return languageModel({ name: 'lively', rawConfig: raw, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])), tokenizer: undefined });
}
