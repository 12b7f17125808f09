/** GGUF bytes written by hand, apart from the code under test. */
export type Bytes = readonly number[];

const number = (bytes: number, set: (view: DataView) => void): Bytes => {
  const out = new Uint8Array(bytes);
  set(new DataView(out.buffer));
  return [...out];
};
export const u32 = (value: number): Bytes => number(4, (v) => v.setUint32(0, value, true));
export const u64 = (value: number | bigint): Bytes => number(8, (v) => v.setBigUint64(0, BigInt(value), true));
/** A text; `length` is what is written in front of it, right or wrong. */
export const text = (value: string | Bytes, length?: number | bigint): Bytes => {
  const bytes = typeof value === 'string' ? [...new TextEncoder().encode(value)] : value;
  return [...u64(length ?? bytes.length), ...bytes];
};
export const magic = [0x47, 0x47, 0x55, 0x46];
export const types = { u8: 0, u32: 4, f32: 6, bool: 7, string: 8, array: 9, u64: 10, f64: 12 };

export const key = (name: string, type: number, ...value: Bytes[]): Bytes => [...text(name), ...u32(type), ...value.flat()];
export const array = (of: number, length: number | bigint, ...items: Bytes[]): Bytes => [...u32(of), ...u64(length), ...items.flat()];

export interface Info {
  readonly name?: string | Bytes;
  readonly shape?: readonly (number | bigint)[];
  /** What is written as the number of dimensions. */
  readonly dims?: number;
  readonly type?: number;
  readonly offset?: number | bigint;
}
/** A tensor of 8 float32 values unless told otherwise; `shape` as in the file, innermost first. */
export const info = ({ name = 'w', shape = [8], dims, type = 0, offset = 0 }: Info = {}): Bytes =>
  [...text(name), ...u32(dims ?? shape.length), ...shape.flatMap((dim) => u64(dim)), ...u32(type), ...u64(offset)];

export interface Parts {
  readonly version?: number;
  readonly tensors?: readonly Bytes[];
  readonly keys?: readonly Bytes[];
  readonly tensorCount?: number | bigint;
  readonly keyCount?: number | bigint;
  /** Bytes of data behind the padded header. */
  readonly data?: number;
}
/** A file from its parts; counts follow from them unless given. */
export function file({ version = 3, tensors = [], keys = [], tensorCount, keyCount, data = 0 }: Parts = {}): Uint8Array {
  const head = [magic, u32(version), u64(tensorCount ?? tensors.length), u64(keyCount ?? keys.length), ...keys, ...tensors].flat();
  const out = new Uint8Array(Math.ceil(head.length / 32) * 32 + data);
  out.set(head);
  return out;
}
/** The parts without padding or data: cut where the header ends. */
export const header = (...parts: Bytes[]): Uint8Array => Uint8Array.from([magic, u32(3), ...parts].flat());

/** `head`, then `unit` again and again; `count` units. */
export function repeated(head: Uint8Array, unit: Bytes, count: number): Uint8Array {
  const out = new Uint8Array(head.length + unit.length * count);
  out.set(head);
  for (let i = 0; i < count; i++) out.set(unit, head.length + i * unit.length);
  return out;
}
