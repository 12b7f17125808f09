/** Tokens per second of a decoder on WebGPU. */
import type { InputKind } from '../../src/engine/webgpu/inputs.ts';
import { encodeBlocks } from '../../src/formats/ggml/index.ts';
import { type LlamaConfig, readLlamaConfig } from '../../src/models/llama-config.ts';
import { llamaShapes } from '../../src/models/llama-weights.ts';
import { median, minMax } from '../../src/numeric/statistics.ts';
import { likeliest } from '../../src/runtime/sample.ts';
import { WebGpuDecoder } from '../../src/runtime/webgpu-decoder.ts';
import { memoryTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { gpu, raw, runs, scale, values } from './race.ts';

function leastAndMost(list: readonly number[]): string {
  const { min, max } = minMax(list);
  return `${min.toFixed(0)}–${max.toFixed(0)}`;
}

/** Tokens per second of a Llama of 1.1 billion random weights of 4 bits. */
export async function decode(): Promise<void> {
  const config = readLlamaConfig({
    model_type: 'llama', vocab_size: 32000, hidden_size: Math.round(2048 / scale), intermediate_size: 32 * Math.round(176 / scale), num_hidden_layers: Math.max(2, Math.round(22 / scale)), num_attention_heads: 32, num_key_value_heads: 4,
    head_dim: Math.max(8, 64 / scale), max_position_embeddings: 2048, rms_norm_eps: 1e-5, tie_word_embeddings: false,
  }) as LlamaConfig;
  const made = new Map<string, Uint8Array>();
  const tensors = new Map([...llamaShapes(config)].map(([name, shape]): [string, TensorRef] => {
    const key = shape.join();
    const vector = shape.length === 1;
    if (!made.has(key)) made.set(key, vector ? new Uint8Array(new Float32Array(shape[0]).fill(1).buffer) : encodeBlocks('q4_0', values(shape[0] * shape[1], 0.03), shape[0], shape[1]));
    return [name, memoryTensor(name, vector ? 'f32' : 'q4_0', [...shape], made.get(key)!)];
  }));
  const weights = [...tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  const results: Record<string, { prompt: number[]; decode: number[]; handing: number[] }> = {};
  const settings: { inputs: InputKind; halfCache: boolean }[] = [{ inputs: 'rounded', halfCache: false }, { inputs: 'rounded', halfCache: true }, { inputs: 'float', halfCache: false }, ...(gpu.able.half ? [{ inputs: 'half' as const, halfCache: true }] : [])];
  const decoders = await Promise.all(settings.map(async (setting) => ({ name: `inputs ${setting.inputs === 'rounded' ? 'int8' : setting.inputs}, cache ${setting.halfCache ? 'half' : 'float'}`, decoder: await WebGpuDecoder.open(config, tensors, { context: 1024, gpu, ...setting }) })));
  const hand = gpu.run.bind(gpu);
  let handing = 0;
  gpu.run = (...of) => {
    const started = performance.now();
    hand(...of);
    handing += performance.now() - started;
  };
  const [promptTokens, written] = [Math.round(512 / scale), Math.round(128 / scale)];
  const prompt = Array.from({ length: promptTokens }, (_, i) => (i * 37 + 11) % 31000);
  for (let run = 0; run < Math.min(runs, 6); run++) {
    for (const { name, decoder } of decoders) {
      decoder.rewind(0);
      const started = performance.now();
      let next = likeliest(await decoder.feed(prompt));
      const read = performance.now();
      handing = 0;
      for (let i = 0; i < written; i++) next = likeliest(await decoder.feed([next]));
      // The first run compiles.
      if (run > 0) {
        (results[name] ??= { prompt: [], decode: [], handing: [] }).prompt.push((1000 * promptTokens) / (read - started));
        results[name].decode.push((1000 * written) / (performance.now() - read));
        results[name].handing.push(handing / written);
      }
    }
  }
  console.log(`\na Llama of ${(weights / 0.5625 / 1e9).toFixed(1)} billion weights in q4_0 (${(weights / 2 ** 20).toFixed(0)} MiB), ${promptTokens} tokens read, ${written} written`);
  for (const [name, { prompt: read, decode: wrote, handing: handed }] of Object.entries(results)) console.log(`  ${name.padEnd(30)} reads ${median(read).toFixed(0)} tokens/s (${leastAndMost(read)}), writes ${median(wrote).toFixed(0)} (${leastAndMost(wrote)}); handing a token's steps to the device takes ${median(handed).toFixed(2)} ms`);
  raw.decode = results;
}
