/**
 * Weights of bitsandbytes in Hugging Face folders: 4-bit codes of a table (NF4, FP4) in blocks of the flattened matrix, whose
 * absmax may be 8-bit codes themselves, and LLM.int8() rows. Beside `weight` lie `weight.absmax`, `weight.quant_map` and
 * `weight.quant_state.bitsandbytes__nf4`, which holds sizes as JSON.
 */
import { defineErrors } from '../errors.ts';
import { isJsonObject, parseJsonBytes } from '../files/json.ts';
import { readFloats } from '../files/values.ts';
import { valuesOf, type MatrixCodes } from '../formats/coded.ts';
import { packing } from '../formats/index.ts';
import { lazyTensor } from '../graph/values.ts';
import { elementCount, type TensorRef } from '../tensor-ref.ts';
import { codedTensor } from './coded-tensor.ts';

const errors = defineErrors('bitsandbytes', {
  missing: (f: { name: string; part: string }) => `weight ${f.name} has no tensor ${f.part} beside it`,
  sizes: (f: { name: string; part: string; found: readonly number[] }) => `tensor ${f.name}.${f.part} has shape [${f.found.join(', ')}], which does not fit the others`,
  shape: (f: { name: string }) => `weight ${f.name} is no matrix of the architecture`,
  state: (f: { name: string; field: string }) => `weight ${f.name}: its quantization state has no usable ${f.field}`,
});

/** A state has some hundred bytes. */
const maxStateBytes = 10_000;
const stateOf = (name: string): RegExp => new RegExp(`^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\.quant_state\\.bitsandbytes__(nf4|fp4)$`);

/** Float weights in the place of every packed one, and their names; all other tensors as they are. */
export function readBitsAndBytes(tensors: ReadonlyMap<string, TensorRef>, shapes: ReadonlyMap<string, readonly number[]>): { readonly tensors: ReadonlyMap<string, TensorRef>; readonly lowBit: readonly string[] } {
  const out = new Map<string, TensorRef>();
  const lowBit: string[] = [];
  for (const [name, tensor] of tensors) {
    if (/\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*)$/.test(name) || /\.(SCB|weight_format)$/.test(name)) continue;
    const scales = tensors.get(`${name.replace(/\.weight$/, '')}.SCB`);
    const low = name.endsWith('.weight') && tensors.has(`${name}.absmax`) ? tableWeight(name, tensor, tensors, shapes.get(name)) : tensor.type === 'i8' && scales !== undefined ? byteWeight(name, tensor, scales) : undefined;
    if (low !== undefined) lowBit.push(name);
    out.set(name, low ?? tensor);
  }
  return { tensors: out, lowBit };
}

function tableWeight(name: string, packed: TensorRef, tensors: ReadonlyMap<string, TensorRef>, shape: readonly number[] | undefined): TensorRef {
  const part = (which: string): TensorRef => {
    const found = tensors.get(`${name}.${which}`);
    if (found === undefined) throw errors.missing({ name, part: which });
    return found;
  };
  if (shape?.length !== 2) throw errors.shape({ name });
  const [rows, cols] = shape;
  const count = rows * cols;
  if (packed.byteLength !== Math.ceil(count / 2)) throw errors.sizes({ name, part: 'weight', found: packed.shape });
  const pattern = stateOf(name);
  const stateName = [...tensors.keys()].find((key) => pattern.test(key));
  if (stateName === undefined) throw errors.missing({ name, part: 'quant_state' });
  const flat = async (): Promise<MatrixCodes> => {
    const state = parseJsonBytes(await tensors.get(stateName)!.read(), stateName, { maxBytes: maxStateBytes });
    const field = (which: string): number => {
      const value = isJsonObject(state) ? state[which] : undefined;
      if (typeof value !== 'number' || !Number.isFinite(value)) throw errors.state({ name, field: which });
      return value;
    };
    const [group, levels] = [field('blocksize'), await readFloats(part('quant_map'))];
    if (!Number.isInteger(group) || group < 1) throw errors.state({ name, field: 'blocksize' });
    if (levels.length !== 16) throw errors.sizes({ name, part: 'quant_map', found: part('quant_map').shape });
    const scales = await absmax(part, field);
    if (scales.length !== Math.ceil(count / group)) throw errors.sizes({ name, part: 'absmax', found: part('absmax').shape });
    return { bits: 4, codes: packing.unpackHighFirst(await packed.read(), count), levels, group, scales };
  };
  return {
    // One long row: blocks may cross the rows of the matrix.
    ...lazyTensor(name, 'f32', [rows, cols], async () => bytesOf(valuesOf(await flat(), 1, count))),
    coded: {
      async read() {
        const codes = await flat();
        return cols % codes.group === 0 ? codes : undefined;
      },
    },
  };
}

/** The largest of each block; where it is a byte, an entry of a map times the largest of a block of blocks, above the mean. */
async function absmax(part: (which: string) => TensorRef, field: (which: string) => number): Promise<Float32Array> {
  const stored = part('absmax');
  if (stored.type !== 'u8') return readFloats(stored);
  const [codes, map, scales] = [await stored.read(), await readFloats(part('nested_quant_map')), await readFloats(part('nested_absmax'))];
  const [block, offset] = [field('nested_blocksize'), field('nested_offset')];
  return Float32Array.from(codes, (code, i) => Math.fround(map[code] * scales[Math.floor(i / block)]) + offset);
}

/** Rows of signed bytes whose largest is 127. */
function byteWeight(name: string, weight: TensorRef, largest: TensorRef): TensorRef {
  const [rows, cols] = weight.shape;
  if (weight.shape.length !== 2 || elementCount(largest.shape) !== rows) throw errors.sizes({ name, part: 'SCB', found: largest.shape });
  const read = async (): Promise<MatrixCodes> => ({ bits: 8, codes: (await weight.read()).map((code) => code ^ 128), group: cols, scales: (await readFloats(largest)).map((value) => value / 127) });
  return codedTensor(name, [rows, cols], read);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);
