/** Where a model will run, what that place can run, and the formats that make sense there. */
export interface Preset {
  readonly id: string;
  readonly name: string;
  /** What the place can run, in a sentence. */
  readonly note: string;
  readonly to: string;
  readonly formats: readonly { readonly weights: string; readonly note: string }[];
  /** Formats for a layer by itself, where they are not those of whole files without half floats. */
  readonly layers?: readonly string[];
}

/** What the place runs in a file whose other layers take another format. */
export const formatsOfLayers = ({ formats, layers }: Preset): readonly string[] => layers ?? formats.map(({ weights }) => weights).filter((weights) => weights !== 'f16');

/** The first place for files of a kind that runs these formats, or the first for such files. */
export function placeFor(kind: 'lm' | 'onnx', to: string, formats: readonly string[]): Preset {
  const places = presets[kind].filter((place) => place.to === to);
  return places.find((place) => formats.every((one) => place.formats.some(({ weights }) => weights === one) || formatsOfLayers(place).includes(one))) ?? places[0];
}

const packed = 'matrices of 4 and 8 bits stay packed (MatMulNBits), other weights are decoded when the model loads';

export const presets: Readonly<Record<'lm' | 'onnx', readonly Preset[]>> = {
  onnx: [
    {
      id: 'ort', name: 'ONNX Runtime', to: 'onnx', note: `Node, Python and mobile, on the processor: ${packed}; arithmetic is float.`,
      formats: [{ weights: 'int8/channel', note: 'safe' }, { weights: 'int4/channel', note: 'half of that' }, { weights: 'int4/g32', note: 'finer scales' }, { weights: 'nf4/b64', note: 'a table of 16 levels' }, { weights: 'int3/channel', note: 'for the brave' }, { weights: 'f16', note: 'half floats' }],
    },
    {
      id: 'ort-wasm', name: 'The web, on WASM', to: 'onnx', note: `onnxruntime-web and transformers.js without a graphics card: as on any processor, ${packed}. Half floats are slow here.`,
      formats: [{ weights: 'int8/channel', note: 'safe' }, { weights: 'int4/channel', note: 'half of that' }, { weights: 'int4/g32', note: 'finer scales' }],
    },
    {
      id: 'ort-webgpu', name: 'The web, on WebGPU', to: 'onnx', note: 'onnxruntime-web on a graphics card: half floats and 4-bit matrices run well; operators without a kernel there fall back to WASM.',
      formats: [{ weights: 'f16', note: 'half floats' }, { weights: 'int4/g32', note: 'packed matrices' }, { weights: 'int8/channel', note: 'small download' }],
    },
  ],
  lm: [
    {
      id: 'llama', name: 'llama.cpp, wllama', to: 'gguf', note: 'GGUF files for llama.cpp and everything built on it: these types run on processors, on graphics cards, and in pages through wllama.',
      formats: [{ weights: 'q8_0', note: 'safe' }, { weights: 'q6_k', note: 'hardly less' }, { weights: 'q5_k', note: '' }, { weights: 'q4_k', note: 'the usual' }, { weights: 'q3_k', note: '' }, { weights: 'q2_k', note: 'smallest' }],
      layers: ['f16', 'q8_0', 'q6_k', 'q5_k', 'q4_k', 'q3_k', 'q2_k'],
    },
    {
      id: 'tjs-wasm', name: 'transformers.js on WASM', to: 'transformers.js', note: 'A folder with what transformers.js looks for. Integer arithmetic (q8) and packed 4 bits run; half floats are slow.',
      formats: [{ weights: 'q8', note: 'eight bits, fastest' }, { weights: 'q4', note: 'the smallest' }],
      layers: ['int8/channel', 'int4/g32'],
    },
    {
      id: 'tjs-webgpu', name: 'transformers.js on WebGPU', to: 'transformers.js', note: 'A folder with what transformers.js looks for. Packed 4 bits and half floats run; q8 multiplies integers, which graphics cards do not through this engine.',
      formats: [{ weights: 'q4f16', note: 'the usual' }, { weights: 'q4', note: 'where half floats overflow' }, { weights: 'fp16', note: 'half floats' }],
      layers: ['int4/g32'],
    },
    {
      id: 'ort', name: 'ONNX Runtime', to: 'onnx', note: 'One ONNX file with key and value cache; matrices of 2, 4 and 8 bits stay packed, other widths are decoded when it loads.',
      formats: [{ weights: 'int8/channel', note: 'safe' }, { weights: 'int4/g32', note: 'the usual' }, { weights: 'nf4/b64', note: 'a table of 16 levels' }, { weights: 'uint2/g32', note: 'smallest' }],
    },
  ],
};

/** Formats that a layer's picture compares. */
export const compared: Readonly<Record<'lm' | 'onnx', readonly string[]>> = {
  onnx: ['int8/channel', 'int4/g32', 'int4/channel', 'nf4/b64', 'int3/channel', 'int2/channel'],
  lm: ['q8_0', 'q6_k', 'q4_k', 'int4/g32', 'nf4/b64', 'q3_k', 'q2_k'],
};
