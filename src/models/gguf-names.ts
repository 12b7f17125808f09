/**
 * Architectures and tensor names of GGUF files beside those of Hugging Face. Files of the `llama` kind hold the rows of q
 * and k in another order: the pairs that rotate together lie side by side there, half a head apart here.
 */
import { defineErrors } from '../errors.ts';
import type { TensorRef } from '../tensor-ref.ts';
import type { Family, LlamaConfig } from './llama-config.ts';

export type GgufArchitecture = 'llama' | 'qwen2' | 'qwen3' | 'smollm3';

interface ArchitectureTraits {
  /** Family of a model that is read from such a file. */
  readonly family: Family;
  readonly architecture: string;
  /** Rows of q and k lie in pairs. */
  readonly paired: boolean;
}

export const ggufArchitectures: Readonly<Record<GgufArchitecture, ArchitectureTraits>> = {
  llama: { family: 'llama', architecture: 'LlamaForCausalLM', paired: true },
  qwen2: { family: 'qwen2', architecture: 'Qwen2ForCausalLM', paired: false },
  qwen3: { family: 'qwen3', architecture: 'Qwen3ForCausalLM', paired: false },
  smollm3: { family: 'smollm3', architecture: 'SmolLM3ForCausalLM', paired: true },
};

export const architectureOf: Readonly<Record<Family, GgufArchitecture>> = {
  llama: 'llama', mistral: 'llama', qwen2: 'qwen2', qwen3: 'qwen3', smollm3: 'smollm3',
};

/** Hugging Face name → GGUF name, outside of layers and inside. */
const outer: Readonly<Record<string, string>> = { 'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', lm_head: 'output' };
const inner: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm', post_attention_layernorm: 'ffn_norm',
  'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down',
};
const reversed = (table: Readonly<Record<string, string>>): ReadonlyMap<string, string> => new Map(Object.entries(table).map(([a, b]) => [b, a]));
const outerBack = reversed(outer);
const innerBack = reversed(inner);

const errors = defineErrors('ggufNames', {
  unknown: (f: { name: string }) => `tensor ${f.name} has no name in GGUF files`,
});

/** `model.layers.3.self_attn.q_proj.weight` → `blk.3.attn_q.weight`. */
export function ggufName(name: string): string {
  const [, layer, part, kind] = /^(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name) ?? [];
  const found = layer === undefined ? outer[part] : inner[part];
  if (found === undefined) throw errors.unknown({ name });
  return layer === undefined ? `${found}.${kind}` : `blk.${layer}.${found}.${kind}`;
}

/** The inverse of `ggufName`; undefined for names that no model of these architectures has. */
export function huggingFaceName(name: string): string | undefined {
  const [, layer, part, kind] = /^(?:blk\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name) ?? [];
  if (part === undefined) return undefined;
  const found = layer === undefined ? outerBack.get(part) : innerBack.get(part);
  if (found === undefined) return undefined;
  return layer === undefined ? `${found}.${kind}` : `model.layers.${Number(layer)}.${found}.${kind}`;
}

/** Heads whose rows lie in another order in the two layouts; 0 for tensors that are equal in both. */
export function pairedHeads(architecture: GgufArchitecture, config: Pick<LlamaConfig, 'heads' | 'kvHeads'>, huggingFace: string): number {
  if (!ggufArchitectures[architecture].paired) return 0;
  if (/\.q_proj\.(weight|bias)$/.test(huggingFace)) return config.heads;
  return /\.k_proj\.(weight|bias)$/.test(huggingFace) ? config.kvHeads : 0;
}

/**
 * The tensor with the rows of every head in another order: `pairs` puts row i beside row i + d/2, `halves` puts them back.
 * Whole rows move, so any stored type passes unchanged; rows are read a head at a time.
 */
export function reorderedHeads(tensor: TensorRef, heads: number, to: 'pairs' | 'halves'): TensorRef {
  const { byteLength } = tensor;
  const headRows = tensor.shape[0] / heads;
  const rowBytes = byteLength / tensor.shape[0];
  const headBytes = headRows * rowBytes;
  const half = headRows / 2;
  // Where row i of a head of the result lies in the source.
  const from = Array.from({ length: headRows }, (_, i) => (to === 'pairs' ? (i % 2) * half + Math.floor(i / 2) : (i % half) * 2 + Math.floor(i / half)));
  return {
    name: tensor.name, type: tensor.type, shape: tensor.shape, byteLength,
    read: async (begin = 0, end = byteLength) => {
      const out = new Uint8Array(end - begin);
      for (let at = begin; at < end;) {
        const start = Math.floor(at / headBytes) * headBytes;
        const head = await tensor.read(start, start + headBytes);
        const until = Math.min(end, start + headBytes);
        while (at < until) {
          const row = Math.floor((at - start) / rowBytes);
          const into = at - start - row * rowBytes;
          const count = Math.min(rowBytes - into, until - at);
          const source = from[row] * rowBytes + into;
          out.set(head.subarray(source, source + count), at - begin);
          at += count;
        }
      }
      return out;
    },
  };
}
