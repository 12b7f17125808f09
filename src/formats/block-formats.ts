/** The ggml block types under spellings of their own: two of them share a name with a microscaling format. */
import type { NumberFormat } from './format.ts';
import { ggmlFormats } from './ggml/index.ts';

const shared = new Set(['mxfp4', 'nvfp4']);

function renamed(format: NumberFormat, name: string): NumberFormat {
  return {
    ...format, name,
    encode: (values, rows, cols, options) => ({ ...format.encode(values, rows, cols, options), format: name }),
  };
}

/** `ggml-mxfp4` and `ggml-nvfp4` are the GGUF blocks; plain `mxfp4` and `nvfp4` are unpacked. The others keep their names. */
export const blockFormats: readonly NumberFormat[] = Object.entries(ggmlFormats).map(([name, format]) =>
  shared.has(name) ? renamed(format, `ggml-${name}`) : format);
