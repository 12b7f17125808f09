/** Where a model will run, and the formats that make sense there. */
export interface Preset {
  readonly id: string;
  readonly name: string;
  /** What the place can run, in a sentence. */
  readonly note: string;
  readonly to: string;
  readonly formats: readonly { readonly weights: string; readonly note: string }[];
}

export const presets: Readonly<Record<'lm' | 'onnx', readonly Preset[]>> = {
  onnx: [
    {
      id: 'ort', name: 'ONNX Runtime', to: 'onnx', note: 'Node, Python, mobile and the web; weights low-bit, arithmetic float.',
      formats: [{ weights: 'int8/channel', note: 'safe' }, { weights: 'int4/channel', note: 'half of that' }, { weights: 'int4/g32', note: 'finer scales' }, { weights: 'nf4/b64', note: 'a table of 16 levels' }, { weights: 'int3/channel', note: 'for the brave' }, { weights: 'f16', note: 'half floats' }],
    },
  ],
  lm: [
    {
      id: 'llama', name: 'llama.cpp, wllama', to: 'gguf', note: 'GGUF files for llama.cpp and everything built on it.',
      formats: [{ weights: 'q8_0', note: 'safe' }, { weights: 'q6_k', note: 'hardly less' }, { weights: 'q5_k', note: '' }, { weights: 'q4_k', note: 'the usual' }, { weights: 'q3_k', note: '' }, { weights: 'q2_k', note: 'smallest' }],
    },
    {
      id: 'tjs', name: 'transformers.js', to: 'transformers.js', note: 'A folder for transformers.js, on WASM or WebGPU.',
      formats: [{ weights: 'q8', note: 'eight bits' }, { weights: 'q4', note: 'the usual' }, { weights: 'q4f16', note: 'for WebGPU' }, { weights: 'fp16', note: 'half floats' }],
    },
    {
      id: 'ort', name: 'ONNX Runtime', to: 'onnx', note: 'One ONNX file with key and value cache.',
      formats: [{ weights: 'int8/channel', note: 'safe' }, { weights: 'int4/g32', note: 'the usual' }, { weights: 'nf4/b64', note: 'a table of 16 levels' }, { weights: 'uint2/g32', note: 'smallest' }],
    },
  ],
};

/** Formats that a layer's picture compares. */
export const compared: Readonly<Record<'lm' | 'onnx', readonly string[]>> = {
  onnx: ['int8/channel', 'int4/g32', 'int4/channel', 'nf4/b64', 'int3/channel', 'int2/channel'],
  lm: ['q8_0', 'q6_k', 'q4_k', 'int4/g32', 'nf4/b64', 'q3_k', 'q2_k'],
};
