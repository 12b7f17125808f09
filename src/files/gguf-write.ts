/** GGUF version 3, written as a stream; tensors lie in the order given, aligned to 32 bytes. */
import { defineErrors } from '../errors.ts';
import { ggufTypeIds, ggufValueTypes } from './gguf.ts';
import type { GgufValue } from './gguf.ts';
import type { ByteSink } from './source.ts';
import { byteLengthOf } from '../tensor-ref.ts';
import type { TensorOut } from '../tensor-ref.ts';

const alignment = 32;

const errors = defineErrors('ggufWrite', {
  type: (f: { name: string; type: string }) => `tensor ${f.name}: GGUF has no type ${f.type}`,
  dims: (f: { name: string; dims: number }) => `tensor ${f.name}: GGUF holds at most 4 dimensions, got ${f.dims}`,
  duplicate: (f: { name: string }) => `tensor ${f.name} is given twice`,
  alignment: (_: object) => 'general.alignment other than u32 32 cannot be written',
  length: (f: { name: string; got: number; need: number }) => `tensor ${f.name}: ${f.got} bytes given, ${f.need} needed`,
});

/** Writes the header, then every tensor. Neither commits nor aborts the sink. */
export async function writeGguf(sink: ByteSink, metadata: ReadonlyMap<string, GgufValue>, tensors: readonly TensorOut[]): Promise<void> {
  const parts: Uint8Array[] = [];
  const put = (bytes: number, set: (view: DataView) => void): void => {
    const part = new Uint8Array(bytes);
    set(new DataView(part.buffer));
    parts.push(part);
  };
  const u32 = (x: number): void => put(4, (v) => v.setUint32(0, x, true));
  const u64 = (x: number | bigint): void => put(8, (v) => v.setBigUint64(0, BigInt(x), true));
  const string = (text: string): void => {
    const bytes = new TextEncoder().encode(text);
    u64(bytes.byteLength);
    parts.push(bytes);
  };
  const scalar = (type: string, x: unknown): void => {
    switch (type) {
      case 'u8': case 'i8': return put(1, (v) => v.setUint8(0, x as number));
      case 'bool': return put(1, (v) => v.setUint8(0, x ? 1 : 0));
      case 'u16': case 'i16': return put(2, (v) => v.setUint16(0, x as number, true));
      case 'u32': case 'i32': return u32(x as number);
      case 'f32': return put(4, (v) => v.setFloat32(0, x as number, true));
      case 'f64': return put(8, (v) => v.setFloat64(0, x as number, true));
      case 'u64': case 'i64': return put(8, (v) => v.setBigInt64(0, x as bigint, true));
      default: return string(x as string);
    }
  };
  const aligned = metadata.get('general.alignment');
  if (aligned && !(aligned.type === 'u32' && aligned.value === alignment)) throw errors.alignment({});
  u32(0x46554747); u32(3); u64(tensors.length); u64(metadata.size);
  for (const [key, value] of metadata) {
    string(key);
    u32(ggufValueTypes.indexOf(value.type));
    if (value.type !== 'array') { scalar(value.type, value.value); continue; }
    u32(ggufValueTypes.indexOf(value.of));
    u64(value.value.length);
    for (const item of value.value) scalar(value.of, item);
  }
  const seen = new Set<string>();
  let offset = 0;
  for (const { name, type, shape, byteLength } of tensors) {
    const id = ggufTypeIds.get(type);
    if (id === undefined) throw errors.type({ name, type });
    if (shape.length > 4) throw errors.dims({ name, dims: shape.length });
    if (seen.has(name)) throw errors.duplicate({ name });
    seen.add(name);
    const need = byteLengthOf(type, shape, name);
    if (need !== byteLength) throw errors.length({ name, got: byteLength, need });
    string(name); u32(shape.length);
    for (const dim of [...shape].reverse()) u64(dim);
    u32(id); u64(offset);
    offset += Math.ceil(byteLength / alignment) * alignment;
  }
  let size = 0;
  for (const part of parts) size += part.byteLength;
  const head = new Uint8Array(Math.ceil(size / alignment) * alignment);
  let at = 0;
  for (const part of parts) { head.set(part, at); at += part.byteLength; }
  await sink.write(head);
  for (const tensor of tensors) {
    const need = tensor.byteLength;
    if (!sink.resume?.(need)) {
      let got = 0;
      for await (const chunk of tensor.chunks()) { got += chunk.byteLength; await sink.write(chunk); }
      if (got !== need) throw errors.length({ name: tensor.name, got, need });
    }
    if (need % alignment) await sink.write(new Uint8Array(alignment - (need % alignment)));
  }
}
