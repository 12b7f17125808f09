/** A network as onnxruntime-genai's model builder writes it: one node of attention per layer, norms that take in sums, names by layer. */
import { float, GraphBuilder, int } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { packing } from '../../src/formats/index.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { readFloats } from '../../src/graph/values.ts';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { layerName } from '../../src/models/llama-weights.ts';
import { inverseFrequencies } from '../../src/models/rope.ts';
import { transpose } from '../../src/numeric/matrix.ts';
import { floatTensor, memoryTensor, type TensorRef } from '../../src/tensor-ref.ts';

const microsoft = { domain: 'com.microsoft' };

export interface GenaiOptions {
  /** Weights in 4 bits in groups of 32, the head and the table among them; floats without. */
  readonly packed: boolean;
  /** One product for query, key and value. */
  readonly joined: boolean;
}

export async function genaiGraph(config: LlamaConfig, tensors: ReadonlyMap<string, TensorRef>, { packed, joined }: GenaiOptions): Promise<Graph> {
  const { hiddenSize: hidden, heads, kvHeads, headDim, epsilon, vocabSize, layers } = config;
  const g = new GraphBuilder('genai', 21);
  g.opset.set('com.microsoft', 1);
  const ids = g.input('input_ids', 'i64', ['batch', 'sequence']);
  const mask = g.input('attention_mask', 'i64', ['batch', 'total']);
  const ints = (values: number | readonly number[]): string => g.ints(values, 'ints');
  const vector = (name: string, values: Float32Array): string => g.weight(floatTensor(name, [values.length], values));
  const values = async (name: string): Promise<Float32Array> => readFloats(tensors.get(name)!);

  const last = g.op('Cast', [g.op('Sub', [g.op('ReduceSum', [mask, ints([1])], { keepdims: int(0) }), ints([1])])], { to: int(6) });
  const total = g.op('Cast', [g.op('Gather', [g.op('Shape', [mask]), ints(1)], { axis: int(0) })], { to: int(6) });
  const half = headDim / 2;
  const speeds = inverseFrequencies(config.rope, headDim);
  const cache = (name: string, of: (angle: number) => number): string =>
    g.weight(floatTensor(name, [config.maxPositions, half], Float32Array.from({ length: config.maxPositions * half }, (_, i) => of(Math.floor(i / half) * speeds[i % half]))));
  const [cos, sin] = [cache('cos_cache', Math.cos), cache('sin_cache', Math.sin)];

  /** Product with the rows of some weights, one after the other. */
  const multiply = async (x: string, node: string, weight: string, names: readonly string[]): Promise<string> => {
    const cols = tensors.get(names[0])!.shape[1];
    const all = Float32Array.from((await Promise.all(names.map(values))).flatMap((part) => [...part]));
    const rows = all.length / cols;
    if (!packed) return g.op('MatMul', [x, g.weight(floatTensor(weight, [cols, rows], transpose(all, rows, cols)))], {}, { name: `${node}/MatMul` });
    return g.op('MatMulNBits', [x, ...codes(weight, all, rows, cols)], { N: int(rows), K: int(cols), bits: int(4), block_size: int(32) }, { ...microsoft, name: `${node}/MatMul_Q4` });
  };
  const codes = (weight: string, all: Float32Array, rows: number, cols: number): [string, string] => {
    const made = parseFormat('int4/g32').encode(all, rows, cols);
    const lifted = Uint8Array.from(made.codes, (code) => (code << 24 >> 24) + 8);
    const layout = { N: rows, K: cols, bits: 4, block: 32 };
    return [
      g.weight(memoryTensor(`${weight}_Q4`, 'u8', [rows, cols / 32, 16], packing.packMatMulNBits(lifted, undefined, layout))),
      g.weight(floatTensor(`${weight}_scales`, [rows, cols / 32], Float32Array.from(made.scales))),
    ];
  };
  const norm = (x: string, name: string, node: string): string => g.op('SimplifiedLayerNormalization', [x, name], { epsilon: float(epsilon), axis: int(-1), stash_type: int(1) }, { name: node });

  const tableName = 'model.embed_tokens.weight';
  const table = await values(tableName);
  const headStem = 'lm_head.MatMul.weight';
  let head: readonly string[] = [];
  let x: string;
  if (packed && config.tied) {
    head = codes(headStem, table, vocabSize, hidden);
    x = g.op('GatherBlockQuantized', [g.op('Reshape', [head[0], ints([vocabSize, hidden / 2])], {}, { name: '/model/embed_tokens/Reshape' }), ids, head[1]], { bits: int(4), block_size: int(32), gather_axis: int(0), quantize_axis: int(1) }, { ...microsoft, name: '/model/embed_tokens/GatherBlockQuantized' });
  } else x = g.op('Gather', [g.weight(floatTensor(tableName, [vocabSize, hidden], table)), ids], {}, { name: '/model/embed_tokens/Gather' });
  let added: string | undefined;
  const summed = async (stem: string, weight: string, kind: string): Promise<string> => {
    const gain = vector(weight, await values(kind));
    if (added === undefined) return norm(x, gain, `${stem}/LayerNorm`);
    const [normed, , , sum] = g.op('SkipSimplifiedLayerNormalization', [x, added, gain], { epsilon: float(epsilon) }, { ...microsoft, name: `${stem}/SkipLayerNorm`, outputs: [g.fresh(`${stem}/out`), '', '', g.fresh(`${stem}/sum`)] });
    x = sum;
    return normed;
  };
  for (let i = 0; i < layers.length; i++) {
    const at = `/model/layers.${i}`;
    const of = (part: string): string => `model.layers.${i}.${part}`;
    const normed = await summed(`${at}/input_layernorm`, of('input_layernorm.weight'), layerName(i, 'input_layernorm.weight'));
    const biased = async (value: string, node: string, parts: readonly string[]): Promise<string> =>
      (config.qkvBias ? g.op('Add', [value, vector(node.slice(1).replaceAll('/', '.').concat('.Add.bias'), Float32Array.from((await Promise.all(parts.map((part) => values(layerName(i, `self_attn.${part}_proj.bias`))))).flatMap((one) => [...one])))], {}, { name: `${node}/Add` }) : value);
    const projected = async (node: string, parts: readonly string[]): Promise<string> =>
      biased(await multiply(normed, `${at}/attn/${node}`, of(`attn.${node}.MatMul.weight`), parts.map((part) => layerName(i, `self_attn.${part}_proj.weight`))), `${at}/attn/${node}`, parts);
    let inputs: readonly string[];
    if (joined) inputs = [await projected('qkv_proj', ['q', 'k', 'v']), '', ''];
    else inputs = await Promise.all(['q', 'k', 'v'].map((part) => projected(`${part}_proj`, [part])));
    if (config.qkNorm) {
      const perHead = async (value: string, which: string, width: number): Promise<string> => {
        const split = g.op('Reshape', [value, ints([0, -1, headDim])], {}, { name: `${at}/attn/${which}_norm/Reshape_1` });
        return g.op('Reshape', [norm(split, vector(of(`attn.${which}_norm.layernorm.weight`), await values(layerName(i, `self_attn.${which}_norm.weight`))), `${at}/attn/${which}_norm/SimplifiedLayerNormalization`), ints([0, -1, width])], {}, { name: `${at}/attn/${which}_norm/Reshape_2` });
      };
      inputs = [await perHead(inputs[0], 'q', heads * headDim), await perHead(inputs[1], 'k', kvHeads * headDim), inputs[2]];
    }
    const past = ['key', 'value'].map((kind) => g.input(`past_key_values.${i}.${kind}`, 'f32', ['batch', kvHeads, 'past', 'kv_cache_dim']));
    const [mixed] = g.op('GroupQueryAttention', [...inputs, ...past, last, total, cos, sin], { num_heads: int(heads), kv_num_heads: int(kvHeads), do_rotary: int(1), rotary_interleaved: int(0) }, { ...microsoft, name: `${at}/attn/GroupQueryAttention`, outputs: 3 });
    added = await multiply(mixed, `${at}/attn/o_proj`, of('attn.o_proj.MatMul.weight'), [layerName(i, 'self_attn.o_proj.weight')]);
    const inner = await summed(`${at}/post_attention_layernorm`, of('post_attention_layernorm.weight'), layerName(i, 'post_attention_layernorm.weight'));
    const [gate, up] = [await multiply(inner, `${at}/mlp/gate_proj`, of('mlp.gate_proj.MatMul.weight'), [layerName(i, 'mlp.gate_proj.weight')]), await multiply(inner, `${at}/mlp/up_proj`, of('mlp.up_proj.MatMul.weight'), [layerName(i, 'mlp.up_proj.weight')])];
    const active = g.op('Mul', [gate, g.op('Sigmoid', [gate], {}, { name: `${at}/mlp/act_fn/Sigmoid` })], {}, { name: `${at}/mlp/act_fn/Mul` });
    added = await multiply(g.op('Mul', [active, up], {}, { name: `${at}/mlp/Mul` }), `${at}/mlp/down_proj`, of('mlp.down_proj.MatMul.weight'), [layerName(i, 'mlp.down_proj.weight')]);
  }
  const out = await summed(`/model/layers.${layers.length}/final_norm_layernorm`, `model.layers.${layers.length}.final_norm_layernorm.weight`, 'model.norm.weight');
  const logits = head.length > 0
    ? g.op('MatMulNBits', [out, ...head], { N: int(vocabSize), K: int(hidden), bits: int(4), block_size: int(32) }, { ...microsoft, name: '/lm_head/MatMul_Q4' })
    : await multiply(out, '/lm_head', headStem, [config.tied ? tableName : 'lm_head.weight']);
  g.output(logits, 'logits', 'f32', ['batch', 'sequence', vocabSize]);
  return g.graph();
}
