/** `fewbit/runtime`: language models on the low-bit engine and networks in integers alone, without ONNX Runtime. */
import type { Folder } from '../files/source.ts';
import type { LanguageModel } from '../models/language-model.ts';
import type { IntegerModel, IntegerModelOptions } from './integer-model.ts';
export { chatTemplates, openChat, type ChatPrompt, type Message } from './chat.ts';
export { jsonConstraint, type Constraint } from './constrain.ts';
export { generate, type Generated, type GenerateOptions } from './generate.ts';
export type { IntegerModel, IntegerModelOptions };
export { anyObject, jsonSchema, type Shape } from './json-schema.ts';
export { cacheFormats, type CacheFormat } from './kv-caches.ts';
export { LlamaDecoder, type DecoderOptions } from './llama-decoder.ts';
export { MambaDecoder, type MambaOptions } from './mamba-decoder.ts';
export { distribution, likeliest, sample, type SampleOptions } from './sample.ts';
export { ChainDrafter } from './draft-chain.ts';
export { NgramDrafter, type NgramOptions } from './draft-ngram.ts';
export { TreeDrafter, type TreeOptions } from './draft-tree.ts';
export type { BranchingDecoder, Draft, Drafter } from './draft.ts';
export { acceptedLength, SpeculativeDecoder } from './speculate.ts';
export { chainAcceptedLength, predictedSpeedUp, timePerToken, type RoundCost } from './speculation-cost.ts';
export type { SpeculationReport } from './speculation-report.ts';
export { openTextModel, type TextModel, type TextModelOptions } from './text-model.ts';
export type { WebGpuDecoder, WebGpuOptions } from './webgpu-decoder.ts';
export { openUrl, urlFolder } from '../files/http.ts';
export { blobSource, memorySource, type ByteSource, type Folder } from '../files/source.ts';
export { openGgufLanguageModel } from '../models/gguf-model.ts';
export { openLanguageModel } from '../models/language-model.ts';
export { teamWorker, workerTeam } from '../engine/kernels/lowbit-team-web.ts';

/** Opens the bytes of a network in integers alone; what runs it is loaded when it is asked for. */
export const openIntegerModel = async (bytes: Uint8Array, name?: string, options?: IntegerModelOptions): Promise<IntegerModel> => (await import('./integer-model.ts')).openIntegerModel(bytes, name, options);

/** Opens an ONNX file of a folder such as transformers.js loads, `onnx/model_q4.onnx`, as a language model for `openTextModel`; what reads it is loaded when it is asked for. */
export const openOnnxFolder = async (folder: Folder, file: string): Promise<LanguageModel> => (await import('../models/onnx-folder.ts')).openOnnxFolder(folder, file);
