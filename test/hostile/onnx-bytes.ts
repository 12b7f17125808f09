/** Protobuf bytes written by hand, apart from the code under test. */
export type Bytes = readonly number[];

export const varint = (value: number | bigint): Bytes => {
  let rest = BigInt.asUintN(64, BigInt(value));
  const out: number[] = [];
  for (; rest >= 128n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return [...out, Number(rest)];
};
export const utf8 = (text: string): Bytes => [...new TextEncoder().encode(text)];
/** Field with a varint. */
export const num = (field: number, value: number | bigint): Bytes => [...varint(field * 8), ...varint(value)];
/** Field with bytes, a text or a nested message. */
export const sub = (field: number, ...parts: (Bytes | string)[]): Bytes => {
  const body = parts.flatMap((part) => (typeof part === 'string' ? utf8(part) : part));
  return [...varint(field * 8 + 2), ...varint(body.length), ...body];
};
export const fixed32 = (field: number, value: number): Bytes => [...varint(field * 8 + 5), ...new Uint8Array(Float32Array.of(value).buffer)];

export const opset = (version: number, domain = ''): Bytes => sub(8, sub(1, domain), num(2, version));
export const value = (name: string, type = 1, dims: readonly number[] = [1]): Bytes[] =>
  [sub(1, name), sub(2, sub(1, num(1, type), sub(2, ...dims.map((dim) => sub(1, num(1, dim))))))];
export const relu = (input = 'x', output = 'y'): Bytes => sub(1, sub(1, input), sub(2, output), sub(4, 'Relu'));
/** A graph from x to y around the given fields. */
export const graph = (...fields: Bytes[]): Bytes => sub(7, sub(2, 'g'), sub(11, ...value('x')), sub(12, ...value('y')), ...fields);
export const model = (...fields: Bytes[]): Uint8Array => Uint8Array.from([num(1, 8), opset(17), ...fields].flat());
/** A model from x to y with one Relu and a weight made of these TensorProto fields. */
export const weighted = (...fields: Bytes[]): Uint8Array => model(graph(relu(), sub(5, ...fields)));
export const external = (...entries: [string, string][]): Bytes[] => [num(14, 1), ...entries.map(([key, text]) => sub(13, sub(1, key), sub(2, text)))];

/** A node with any inputs, outputs and attributes. */
export const node = (op: string, inputs: readonly string[], outputs: readonly string[], ...attributes: Bytes[]): Bytes =>
  sub(1, ...inputs.map((input) => sub(1, input)), ...outputs.map((output) => sub(2, output)), sub(4, op), ...attributes);
export const intAttribute = (name: string, value: number): Bytes => sub(5, sub(1, name), num(3, value), num(20, 2));
export const intsAttribute = (name: string, values: readonly number[]): Bytes => sub(5, sub(1, name), ...values.map((value) => num(8, value)), num(20, 7));
export const bodyAttribute = (name: string, body: Bytes): Bytes => sub(5, sub(1, name), sub(6, body), num(20, 5));
export const int64Weight = (name: string, values: readonly number[]): Bytes =>
  sub(5, num(1, values.length), num(2, 7), sub(8, name), sub(9, [...new Uint8Array(BigInt64Array.from(values, BigInt).buffer)]));
/** A float32 weight of zeros. */
export const floatWeight = (name: string, shape: readonly number[]): Bytes =>
  sub(5, ...shape.map((dim) => num(1, dim)), num(2, 1), sub(8, name), sub(9, Array<number>(4 * shape.reduce((product, dim) => product * dim, 1)).fill(0)));
