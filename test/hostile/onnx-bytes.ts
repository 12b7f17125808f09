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
