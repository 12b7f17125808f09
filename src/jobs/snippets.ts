/** Code that loads an output. The run executes it from the output folder, so it must work as it stands. */
import type { Output } from './result.ts';

/** What a loader depends on. */
export type Loaded = Pick<Output, 'file' | 'target' | 'label'>;

/** The main file as a text of JavaScript, relative to the output folder. */
const quoted = (path: string): string => JSON.stringify(`./${path}`);
const folderOf = (file: string): string => file.split('/')[0];

const onnx = (output: Loaded): string => `import * as ort from 'onnxruntime-node'; // in the browser: 'onnxruntime-web'

const session = await ort.InferenceSession.create(${quoted(output.file)});
// Inputs of the right shapes, all zeros: put your own values here.
const arrays = { float32: Float32Array, float16: Uint16Array, int64: BigInt64Array, int32: Int32Array, int8: Int8Array, uint8: Uint8Array, bool: Uint8Array };
const feeds = {};
for (const { name, type, shape } of session.inputMetadata) {
  const dims = shape.map((dim) => (typeof dim === 'number' ? Math.max(1, dim) : name.startsWith('past') && dim.startsWith('past') ? 0 : 1));
  feeds[name] = new ort.Tensor(type, new arrays[type](dims.reduce((product, dim) => product * dim, 1)), dims);
}
const outputs = await session.run(feeds);
for (const name of session.outputNames.slice(0, 4)) console.log(name, outputs[name].dims.join(' × '));
`;

/** transformers.js finds a file by the suffix of its dtype; a file with another name is named, with the dtype that has no suffix. */
function clientOptions({ file, label }: Loaded): string {
  const stem = file.split('/').at(-1)!.replace(/\.onnx$/, '');
  const suffix = label === 'fp32' ? '' : label === 'q8' ? '_quantized' : `_${label}`;
  return stem === `model${suffix}` ? `{ dtype: ${JSON.stringify(label)} }` : `{ model_file_name: ${JSON.stringify(stem)}, dtype: "fp32" }`;
}

const transformersJs = (output: Loaded): string => `import { env, pipeline } from '@huggingface/transformers';

env.allowRemoteModels = false;
env.localModelPath = './';
const generate = await pipeline('text-generation', ${JSON.stringify(folderOf(output.file))}, ${clientOptions(output)});
const [{ generated_text }] = await generate('Once upon a time', { max_new_tokens: 24 });
console.log(generated_text);
await generate.dispose();
`;

const gguf = (output: Loaded): string => `import { getLlama, LlamaCompletion } from 'node-llama-cpp';

const llama = await getLlama({ build: 'never' });
const model = await llama.loadModel({ modelPath: ${quoted(output.file)} });
const context = await model.createContext({ threads: 1 }); // as many as there are idle cores: more are slower, not faster
const completion = new LlamaCompletion({ contextSequence: context.getSequence() });
const prompt = 'Once upon a time';
console.log(prompt + await completion.generateCompletion(prompt, { maxTokens: 24 }));
await llama.dispose();
`;

const safetensors = (output: Loaded): string => `import { open, readFile } from 'node:fs/promises';

const { quantization_config: config } = JSON.parse(await readFile(${quoted(`${folderOf(output.file)}/config.json`)}, 'utf8'));
console.log(config.quant_method);
const file = await open(${quoted(output.file)});
const start = Buffer.alloc(8);
await file.read(start, 0, 8, 0);
const header = Buffer.alloc(Number(start.readBigUInt64LE()));
await file.read(header, 0, header.length, 8);
await file.close();
for (const [name, { dtype, shape }] of Object.entries(JSON.parse(header.toString())).slice(0, 8)) console.log(name, dtype, shape);
`;

const makers: Readonly<Record<string, (output: Loaded) => string>> = { onnx, 'transformers.js': transformersJs, gguf, safetensors };

/** A loader for the engine that the output is meant for: the text of an ES module to be run in the output folder. */
export const snippetFor = (output: Loaded): string => (makers[output.target] ?? onnx)(output);

export interface Alternative {
  readonly title: string;
  readonly language: 'js' | 'sh';
  readonly code: string;
}

const webOnnx = (output: Loaded): Alternative => ({
  title: 'In the browser', language: 'js',
  code: `import * as ort from 'onnxruntime-web';\n\nconst session = await ort.InferenceSession.create(${quoted(output.file)});\n`,
});

/** Other ways to load the output; these are shown, not executed. */
export function alternativesFor(output: Loaded): Alternative[] {
  switch (output.target) {
    case 'onnx': return [webOnnx(output)];
    case 'gguf': return [{ title: 'llama.cpp', language: 'sh', code: `llama-cli -m ${shellQuoted(output.file)} -p 'Once upon a time' -n 24\n` }];
    case 'safetensors': return [{ title: 'vLLM', language: 'sh', code: `vllm serve ${shellQuoted(`./${folderOf(output.file)}`)}\n` }];
    default: return [];
  }
}

const shellQuoted = (text: string): string => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
