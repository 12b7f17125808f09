/** Scales that are codes themselves, in standard operators: u · t / (2^b − 1) + offset, the operations of the codec in its order. */
import { float32Tensor, int } from '../graph/build.ts';
import { encodeNumbers, lazyTensor } from '../graph/values.ts';
import type { NestedFormat } from '../formats/nested-normal-float.ts';
import { packing } from '../formats/index.ts';
import type { Tiles } from './onnx-tiles.ts';
import { reshaped, sliced, unpackedCodes } from './onnx-unpack.ts';
import type { Emit } from './onnx-weight-only.ts';

/** All scales of a matrix, [count]. */
export function nestedScales(id: string, tiles: Tiles, { nested: { bits, block, type } }: NestedFormat, count: number, emit: Emit): string {
  const parts = async () => (await tiles.fitted(0)).doubleQuantized!;
  const lineBytes = packing.packedLength(count, bits);
  const blocks = Math.ceil(count / block);
  const packed = emit.weight(lazyTensor(emit.fresh(`${id}_scale_codes`), 'u8', [1, lineBytes], async () => packing.packLowFirst((await parts()).codes, bits)));
  const codes = emit.node('Cast', [unpackedCodes(packed, 1, lineBytes, count, bits, emit)], { to: int(1) });
  const stored = type.name as 'f32' | 'f16' | 'bf16';
  const narrow = emit.weight(lazyTensor(emit.fresh(`${id}_scale`), stored, [blocks, 1], async () => encodeNumbers(stored, (await parts()).scales)));
  const largest = stored === 'f32' ? narrow : emit.node('Cast', [narrow], { to: int(1) });
  const spread = emit.node('Expand', [largest, emit.constant('i64', [blocks, block])]);
  const each = sliced(reshaped(spread, [1, blocks * block], emit), 1, 0, count, emit);
  const offset = emit.weight(lazyTensor(emit.fresh(`${id}_scale_offset`), 'f32', [1], async () => encodeNumbers('f32', [(await parts()).offset])));
  return emit.node('Add', [emit.node('Div', [emit.node('Mul', [codes, each]), emit.weight(float32Tensor(emit.fresh('steps'), 2 ** bits - 1))]), offset]);
}
