/** `fewbit/runtime`: language models on the low-bit engine and networks in integers alone, without ONNX Runtime. */
export { chatPrompt, chatTemplates, type Message } from './chat.ts';
export { jsonConstraint, type Constraint } from './constrain.ts';
export { generate, type Generated, type GenerateOptions } from './generate.ts';
export { integerModel, openIntegerModel, type IntegerModel } from './integer-model.ts';
export { anyObject, jsonSchema, type Shape } from './json-schema.ts';
export { cacheFormats, type CacheFormat } from './kv-caches.ts';
export { LlamaDecoder, type DecoderOptions } from './llama-decoder.ts';
export { distribution, likeliest, sample, type SampleOptions } from './sample.ts';
export { openTextModel, type TextModel, type TextModelOptions } from './text-model.ts';
export { openUrl, urlFolder } from '../files/http.ts';
export { blobSource, memorySource, type ByteSource, type Folder } from '../files/source.ts';
export { openGgufLanguageModel } from '../models/gguf-model.ts';
export { openLanguageModel } from '../models/language-model.ts';
