/** All operators that the interpreter knows, by name; those outside ai.onnx with their domain. */
import { blockQuantized } from './block-quantized.ts';
import type { Operators } from './call.ts';
import { control } from './control.ts';
import { convolutions } from './convolution.ts';
import { creation } from './creation.ts';
import { elementwise } from './elementwise.ts';
import { gathering } from './gather.ts';
import { sampling } from './grid-sample.ts';
import { matrices } from './matrix.ts';
import { movement } from './movement.ts';
import { normalizations } from './normalization.ts';
import { pools } from './pooling.ts';
import { quantization } from './quantization.ts';
import { reductions } from './reductions.ts';
import { resampling } from './resize.ts';

export const operators: Operators = {
  ...elementwise,
  ...reductions,
  ...creation,
  ...movement,
  ...gathering,
  ...matrices,
  ...convolutions,
  ...pools,
  ...normalizations,
  ...resampling,
  ...sampling,
  ...quantization,
  ...blockQuantized,
  ...control,
};
