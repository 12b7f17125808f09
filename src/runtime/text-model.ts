/** A language model that writes text on the low-bit engine: opened from its parts, used through `write` and `chat`. */
import { defineErrors, FewbitError } from '../errors.ts';
import { codesOf, isCoded, type MatrixCodes } from '../formats/coded.ts';
import type { NumberFormat } from '../formats/format.ts';
import { encodeBlocks } from '../formats/ggml/index.ts';
import { readFloats } from '../files/values.ts';
import { isStateSpace, type LanguageModel } from '../models/language-model.ts';
import { codedTensor } from '../models/coded-tensor.ts';
import type { LlamaConfig } from '../models/llama-config.ts';
import type { Mamba1Config } from '../models/mamba1-config.ts';
import type { Mamba2Config } from '../models/mamba2-config.ts';
import { openTokenizer, type Tokenizer } from '../models/tokenizer.ts';
import { blockTypes, isBlockType, type BlockType, type TensorRef } from '../tensor-ref.ts';
import { openChat, type Message } from './chat.ts';
import { checkOpening } from './check-options.ts';
import { generate, type Decoder, type Generated, type GenerateOptions } from './generate.ts';
import { LlamaDecoder, type DecoderOptions } from './llama-decoder.ts';
import { defaultDraftTokens, openDrafts, type DraftSettings } from './open-drafts.ts';
import { MambaDecoder } from './mamba-decoder.ts';
import { PrefixCache } from './prefix-cache.ts';
import type { SpeculationReport } from './speculation-report.ts';
import { TextSlots } from './text-slots.ts';
import type { WebGpuDecoder, WebGpuOptions } from './webgpu-decoder.ts';

const errors = defineErrors('textModel', {
  tokenizer: (f: { model: string }) => [`${f.model} has no tokenizer.json, without which text is not read`, "put the model's tokenizer.json and tokenizer_config.json into its folder, or name theirs with --tokenizer"],
  stateSpace: (f: { what: string; why: string }) => `${f.what} cannot be had for a state-space model: ${f.why}`,
});

/** Paces at which states decay: two-dimensional in Mamba-1, and multiplied with nothing. */
const rates = '.A_log';

export interface TextModelOptions extends DecoderOptions, Partial<DraftSettings> {
  /** Block type, or format of codes in groups of columns, that float matrices take as they are loaded, where its width fits; without it they stay float. */
  readonly weights?: BlockType | NumberFormat;
  /** Where the model runs; on the CPU too where there is no WebGPU, and `onFallback` is told why. On WebGPU there is one text at a time, without drafts. */
  readonly device?: 'cpu' | 'webgpu';
  readonly webgpu?: Omit<WebGpuOptions, 'context' | 'onTensor'>;
  onFallback?(reason: string): void;
  /** Gives up opening, between two tensors. */
  readonly signal?: AbortSignal;
}

export interface TextModel {
  readonly device: 'cpu' | 'webgpu';
  readonly decoder: PrefixCache;
  readonly tokenizer: Tokenizer;
  /** Bytes of weights, keys and values, and everything else that the decoder holds. */
  readonly bytes: number;
  /** Bytes of keys and values among them. */
  readonly cacheBytes: number;
  /** Tokens after which the model has nothing to say. */
  readonly endTokens: readonly number[];
  /** Continues a text, as if nothing had been read before; as many texts at a time as `sequences` says: one more takes the place of the oldest, which then throws. What a prompt shares with the last one is not read again, and guesses of drafts change no text. */
  write(prompt: string, options?: GenerateOptions): AsyncGenerator<string, Generated>;
  /** Answers the last of some messages, by the model's chat template. */
  chat(messages: readonly Message[], options?: GenerateOptions): AsyncGenerator<string, Generated>;
  /** The same in two steps: the tokens of a prompt, and what follows them. */
  encode(prompt: string): number[];
  encodeChat(messages: readonly Message[]): number[];
  generate(prompt: readonly number[], options?: GenerateOptions): AsyncGenerator<string, Generated>;
  /** What guesses brought for the text that was begun last, and whether the cost model says that they pay; undefined without drafts. */
  speculation(): Promise<SpeculationReport | undefined>;
  /** Ends the threads of the decoder, if there are any. */
  dispose(): void;
}

/** Opens a model; throws what is wrong with it or its options, and the reason of a signal that came before the end. */
export async function openTextModel(model: LanguageModel, given: TextModelOptions = {}): Promise<TextModel> {
  checkOpening(given);
  const { signal, onTensor } = given;
  signal?.throwIfAborted();
  const options: TextModelOptions = signal === undefined ? given : { ...given, onTensor: (...tensor) => { signal.throwIfAborted(); onTensor?.(...tensor); } };
  const files = model.tokenizer;
  if (files === undefined) throw errors.tokenizer({ model: model.name });
  const { weights, drafts = [] } = options;
  const tensorsOf = ({ tensors }: LanguageModel): ReadonlyMap<string, TensorRef> => (weights === undefined ? tensors : new Map([...tensors].map(([name, tensor]) => [name, name.endsWith(rates) ? tensor : typeof weights === 'string' ? inBlocks(tensor, weights) : inCodes(tensor, weights)])));
  const tokenizer = openTokenizer(files);
  const promptOf = await openChat(files);
  const { config } = model;
  const slots = await (async (): Promise<Slots> => {
    if (isStateSpace(config)) return oneSlot(await openMamba(config, tensorsOf(model), options), 'cpu');
    const onDevice = options.device === 'webgpu' ? await openWebGpu(config, tensorsOf(model), options) : undefined;
    if (onDevice !== undefined) return oneSlot(onDevice, 'webgpu');
    const llama = await LlamaDecoder.open(config, tensorsOf(model), options);
    const opened = drafts.length === 0 ? undefined : await openDrafts({ ...options, drafts }, { name: model.name, tokenizer, vocabulary: llama.vocabulary }, tensorsOf, { context: llama.context, sequences: llama.sequences.length, ...(options.kernels === undefined ? {} : { kernels: options.kernels }) });
    const made = new TextSlots(llama, opened, options.draftTokens ?? defaultDraftTokens);
    return { device: 'cpu', first: made.first, write: (prompt, run) => made.write(prompt, run), speculation: () => made.speculation(), bytes: llama.bytes + (opened?.bytes ?? 0), cacheBytes: llama.cacheBytes, dispose: () => llama.dispose() };
  })();
  const endTokens = endTokensOf(model);
  const encode = (prompt: string): number[] => tokenizer.encode(prompt);
  // Templates write their special tokens themselves.
  const encodeChat = (messages: readonly Message[]): number[] => tokenizer.encode(promptOf(messages), { addSpecialTokens: false });
  const generated = (prompt: readonly number[], given: GenerateOptions = {}): AsyncGenerator<string, Generated> =>
    slots.write(prompt, (decoder) => generate(decoder, tokenizer, prompt, { endTokens, ...given }));
  return {
    device: slots.device, decoder: slots.first, tokenizer, endTokens, bytes: slots.bytes, cacheBytes: slots.cacheBytes, speculation: () => slots.speculation(), encode, encodeChat, generate: generated, dispose: () => slots.dispose(),
    write: (prompt, given) => generated(encode(prompt), given),
    chat: (messages, given) => generated(encodeChat(messages), given),
  };
}

/** Where texts are written, whatever the architecture. */
interface Slots extends Pick<TextModel, 'device' | 'bytes' | 'cacheBytes' | 'speculation' | 'dispose'> {
  readonly first: PrefixCache;
  write<T>(prompt: readonly number[], run: (decoder: Decoder) => AsyncGenerator<string, T>): AsyncGenerator<string, T>;
}

async function openMamba(config: Mamba1Config | Mamba2Config, tensors: ReadonlyMap<string, TensorRef>, { drafts = [], sequences = 1, cache = 'float', ...options }: TextModelOptions): Promise<MambaDecoder> {
  if (drafts.length > 0) throw errors.stateSpace({ what: 'drafts', why: 'its state does not go back to before a wrong guess' });
  if (sequences > 1) throw errors.stateSpace({ what: 'several texts at a time', why: 'it holds one state' });
  if (cache !== 'float') throw errors.stateSpace({ what: 'a cache in few bits', why: 'it has no cache' });
  return MambaDecoder.open(config, tensors, options);
}

/** One text at a time, without drafts. */
function oneSlot(decoder: Decoder & { readonly bytes: number; readonly cacheBytes: number; dispose?(): void }, device: TextModel['device']): Slots {
  const first = new PrefixCache(decoder);
  return { device, first, async *write(_, run) { return yield* run(await first.lend()); }, speculation: async () => undefined, bytes: decoder.bytes, cacheBytes: decoder.cacheBytes, dispose: () => decoder.dispose?.() };
}

/** The decoder on WebGPU, or undefined where the model has to run on the CPU, and `onFallback` was told why. */
async function openWebGpu(config: LlamaConfig, tensors: ReadonlyMap<string, TensorRef>, { drafts = [], sequences = 1, cache = 'float', context, webgpu, onTensor, onFallback }: TextModelOptions): Promise<WebGpuDecoder | undefined> {
  if (drafts.length > 0 || sequences > 1 || cache !== 'float') {
    onFallback?.('drafts, several texts at a time and caches in few bits run on the CPU only');
    return undefined;
  }
  try {
    // Loaded when it is wanted: pages on the CPU do not carry the shaders.
    const { WebGpuDecoder } = await import('./webgpu-decoder.ts');
    return await WebGpuDecoder.open(config, tensors, { ...webgpu, context, onTensor });
  } catch (error) {
    if (!(error instanceof FewbitError && error.code.startsWith('webgpu'))) throw error;
    onFallback?.(error.message);
    return undefined;
  }
}

/** A float matrix that is encoded as it is read; others stay what they are. */
export function inBlocks(tensor: TensorRef, type: BlockType): TensorRef {
  const [rows, cols] = tensor.shape;
  const { block, bytes } = blockTypes[type];
  if (tensor.shape.length !== 2 || isBlockType(tensor.type) || tensor.coded !== undefined || cols % block !== 0) return tensor;
  const rowBytes = (cols / block) * bytes;
  return {
    name: tensor.name, type, shape: tensor.shape, byteLength: rows * rowBytes,
    async read(begin = 0, end = rows * rowBytes) {
      const [first, last] = [Math.floor(begin / rowBytes), Math.ceil(end / rowBytes)];
      const encoded = encodeBlocks(type, await readFloats(tensor, first, last), last - first, cols, undefined, tensor.name, first);
      return encoded.subarray(begin - first * rowBytes, end - first * rowBytes);
    },
  };
}

/** A float matrix that becomes codes as it is read; others stay what they are. */
export function inCodes(tensor: TensorRef, format: NumberFormat): TensorRef {
  const [rows, cols] = tensor.shape;
  if (tensor.shape.length !== 2 || isBlockType(tensor.type) || tensor.coded !== undefined || !isCoded(format, cols)) return tensor;
  const read = async (): Promise<MatrixCodes> => codesOf(format, format.encode(await readFloats(tensor), rows, cols, { name: tensor.name }));
  return codedTensor(tensor.name, [rows, cols], read);
}

/** Ids that end a text, as config.json and generation_config.json say. */
function endTokensOf({ rawConfig, tokenizer }: LanguageModel): number[] {
  const generation = tokenizer?.others.get('generation_config.json');
  const parsed: unknown = generation === undefined ? undefined : JSON.parse(new TextDecoder().decode(generation));
  const listed = [(parsed as { eos_token_id?: unknown } | undefined)?.eos_token_id, rawConfig.eos_token_id].flat();
  return [...new Set(listed.filter((id): id is number => typeof id === 'number'))];
}
