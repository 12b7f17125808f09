/** Layouts of low-bit weights in Hugging Face folders. Adding one touches its own file and one row here. */
import type { TensorOut } from '../tensor-ref.ts';
import type { NumberFormat } from '../formats/format.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import { awqLayout } from './safetensors-awq.ts';
import { compressedLayout } from './safetensors-compressed.ts';
import { gptqLayout } from './safetensors-gptq.ts';

export type Activations = 'float' | 'static' | 'dynamic';

export interface Layout {
  /** Why a matrix [rows, cols] of this format cannot be laid out so, or undefined when it can. */
  refuses(format: NumberFormat, activations: Activations, rows: number, cols: number): string | undefined;
  /** Why a layer cannot take `own` in a folder whose other layers take `format`; both are formats that the layout holds. */
  refusesOwn(format: NumberFormat, own: NumberFormat): string | undefined;
  /** The tensors that stand for the weight of a layer; `name` is the layer's, without `.weight`. */
  tensors(name: string, matrix: QuantizedMatrix, activations: Activations): readonly TensorOut[];
  /** `quantization_config` of config.json; `left` are the linear layers inside of blocks that keep their floats, `own` those with a format of their own. */
  config(format: NumberFormat, activations: Activations, left: readonly string[], own: ReadonlyMap<string, NumberFormat>): Readonly<Record<string, unknown>>;
}

export const layouts = {
  'compressed-tensors': compressedLayout,
  gptq: gptqLayout,
  awq: awqLayout,
} as const satisfies Record<string, Layout>;
