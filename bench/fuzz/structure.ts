/** What the formats look like from the outside: where their numbers are, and changes in their own terms. Reads nothing through the code under test. */
import { crc32 } from 'node:zlib';
import { edge, joined, type Dice, type Field, type Structure } from './mutate.ts';

const decode = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);
const encode = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

const strangeTokens = ['{', '}', '[', ']', ',', ':', '""', 'null', 'true', 'false', '-1', '0', '-0', '1', '8', '1.5', '1e999', '1e300', '9007199254740991', '9007199254740993',
  '18446744073709551616', '"__proto__"', '"constructor"', '"toString"', '"length"', '{}', '[]', '[[[[]]]]', '"\\u0000"', '"\\ud800"', '" "', '\u00ff', '\t', '"F32"', '"BPE"', '"a"'];

/** Changes of JSON by whole tokens. */
export function changeJson(text: string, dice: Dice): string {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[-+.\w]+|\s+|[^]/g) ?? [];
  if (tokens.length === 0) return dice.pick(strangeTokens);
  const at = dice.below(tokens.length);
  const run = tokens.slice(at, at + 1 + dice.below(1 << dice.below(5)));
  switch (dice.below(6)) {
    case 0: tokens[at] = dice.pick(strangeTokens); break;
    case 1: tokens[at] = dice.chance(2) ? String(edge(dice)) : tokens[dice.below(tokens.length)]; break;
    case 2: tokens.splice(at, run.length); break;
    case 3: tokens.splice(dice.below(tokens.length), 0, ...run); break;
    case 4: tokens.splice(at, 0, dice.pick(strangeTokens)); break;
    default: {
      const numbers = tokens.flatMap((token, i) => (/^-?[0-9]/.test(token) ? [i] : []));
      const i = numbers.length === 0 ? at : dice.pick(numbers);
      tokens[i] = String(Number(tokens[i]) + dice.pick([-8, -1, 1, 4, 8, 64]));
    }
  }
  return tokens.join('');
}

export const jsonStructure: Structure = { change: (bytes, dice) => encode(changeJson(decode(bytes), dice)) };

const headerEnd = (bytes: Uint8Array): number => {
  if (bytes.length < 8) return bytes.length;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  return length > BigInt(bytes.length - 8) ? bytes.length : 8 + Number(length);
};
export const safetensorsStructure: Structure = {
  fields: (bytes) => (bytes.length < 8 ? [] : [{ at: 0, width: 8 }]),
  change: (bytes, dice) => {
    const end = headerEnd(bytes);
    const header = encode(changeJson(decode(bytes.subarray(8, end)), dice));
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
    return joined(length, header, bytes.subarray(end));
  },
};

/** A configuration and weights in one input: the length of the first, its JSON, a safetensors file. */
export const folderStructure: Structure = {
  change: (bytes, dice) => {
    if (bytes.length < 4) return bytes;
    const end = 4 + Math.min(bytes.length - 4, new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true));
    if (dice.chance(2)) return joined(bytes.subarray(0, end), safetensorsStructure.change!(bytes.slice(end), dice));
    const config = encode(changeJson(decode(bytes.subarray(4, end)), dice));
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, config.length, true);
    return joined(length, config, bytes.subarray(end));
  },
};

const ggufWidths: Readonly<Record<number, 1 | 2 | 4 | 8>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
/** Numbers of a GGUF header, and where its entries begin. */
function ggufParts(bytes: Uint8Array): { fields: Field[]; entries: number[] } {
  const fields: Field[] = [];
  const entries: number[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 4;
  const number = (width: 1 | 2 | 4 | 8): number => {
    if (at + width > bytes.length) throw new RangeError();
    fields.push({ at, width });
    at += width;
    return width === 8 ? Number(view.getBigUint64(at - 8, true)) : width === 4 ? view.getUint32(at - 4, true) : bytes[at - width];
  };
  const text = (): void => { at += number(8); };
  const value = (type: number, depth = 0): void => {
    if (type === 8) text();
    else if (type === 9) {
      const of = number(4);
      const count = Math.min(number(8), 1000);
      if (depth < 4) for (let i = 0; i < count; i++) value(of, depth + 1);
    } else number(ggufWidths[type] ?? 4);
  };
  try {
    number(4);
    const tensors = number(8);
    const keys = number(8);
    for (let i = 0; i < keys && i < 1000; i++) { entries.push(at); text(); value(number(4)); }
    for (let i = 0; i < tensors && i < 1000; i++) {
      entries.push(at);
      text();
      const dims = number(4);
      for (let d = 0; d < dims && d < 16; d++) number(8);
      number(4);
      number(8);
    }
    entries.push(at);
  } catch { /* as far as it can be read */ }
  return { fields, entries };
}
export const ggufStructure: Structure = {
  fields: (bytes) => ggufParts(bytes).fields,
  /** Doubles, drops or swaps an entry, with the counts put right half of the time. */
  change: (bytes, dice) => {
    const { entries } = ggufParts(bytes);
    if (entries.length < 2) return bytes;
    const i = dice.below(entries.length - 1);
    const entry = bytes.slice(entries[i], entries[i + 1]);
    const drop = dice.chance(2);
    const at = drop ? entries[i] : dice.pick(entries);
    const out = joined(bytes.subarray(0, at), drop ? [] : entry, bytes.subarray(drop ? entries[i + 1] : at));
    if (dice.chance(2) && out.length >= 24) {
      const view = new DataView(out.buffer);
      const where = dice.chance(2) ? 8 : 16;
      view.setBigUint64(where, BigInt.asUintN(64, view.getBigUint64(where, true) + (drop ? -1n : 1n)), true);
    }
    return out;
  },
};

/** The older form of importance matrices: count, then name, calls, values. */
export const legacyImatrixStructure: Structure = {
  fields: (bytes) => {
    const fields: Field[] = [];
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    const number = (): number => { fields.push({ at, width: 4 }); at += 4; return at <= bytes.length ? view.getInt32(at - 4, true) : -1; };
    const count = number();
    for (let i = 0; i < count && at < bytes.length; i++) { at += Math.max(0, number()); number(); at += 4 * Math.max(0, number()); }
    if (at + 8 <= bytes.length) { number(); number(); }
    return fields.filter((field) => field.at + 4 <= bytes.length);
  },
};

/** Protobuf as a tree: a message is a list of fields, a field holds a number, bytes or a message. */
interface Node { field: number; wire: number; value: bigint | Uint8Array | Node[] }
function readVarint(bytes: Uint8Array, at: number): [value: bigint, next: number] | undefined {
  let value = 0n;
  for (let i = 0; i < 10 && at + i < bytes.length; i++) {
    value |= BigInt(bytes[at + i] & 127) << BigInt(7 * i);
    if (bytes[at + i] < 128) return [value, at + i + 1];
  }
  return undefined;
}
function parse(bytes: Uint8Array, depth = 0): Node[] | undefined {
  const nodes: Node[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = readVarint(bytes, at);
    if (tag === undefined || tag[0] >= 2n ** 32n || tag[0] < 8n) return undefined;
    at = tag[1];
    const field = Number(tag[0] >> 3n);
    const wire = Number(tag[0] & 7n);
    if (wire === 0) {
      const value = readVarint(bytes, at);
      if (value === undefined) return undefined;
      nodes.push({ field, wire, value: value[0] });
      at = value[1];
    } else if (wire === 1 || wire === 5) {
      const width = wire === 1 ? 8 : 4;
      if (at + width > bytes.length) return undefined;
      nodes.push({ field, wire, value: bytes.slice(at, at + width) });
      at += width;
    } else if (wire === 2) {
      const length = readVarint(bytes, at);
      if (length === undefined || length[0] > BigInt(bytes.length - length[1])) return undefined;
      const content = bytes.slice(length[1], length[1] + Number(length[0]));
      const inner = content.length > 1 && depth < 20 ? parse(content, depth + 1) : undefined;
      nodes.push({ field, wire, value: inner ?? content });
      at = length[1] + content.length;
    } else return undefined;
  }
  return nodes;
}
function varint(value: bigint): number[] {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 128n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return [...out, Number(rest)];
}
const write = (nodes: readonly Node[]): Uint8Array => joined(...nodes.flatMap(({ field, wire, value }) => {
  const tag = varint(BigInt(field) * 8n + BigInt(wire));
  if (typeof value === 'bigint') return [tag, varint(value)];
  const content = value instanceof Uint8Array ? value : write(value);
  return wire === 2 ? [tag, varint(BigInt(content.length)), content] : [tag, content];
}));

/** Changes a protobuf message somewhere in its depth; the lengths around it are right again afterwards. */
export const protobufStructure: Structure = {
  change: (bytes, dice) => {
    const root = parse(bytes);
    if (root === undefined || root.length === 0) return bytes;
    let list = root;
    for (;;) {
      const inner = list.filter((node) => Array.isArray(node.value) && node.value.length > 0);
      if (inner.length === 0 || dice.chance(4)) break;
      list = dice.pick(inner).value as Node[];
    }
    const i = dice.below(list.length);
    const node = list[i];
    switch (dice.below(9)) {
      case 0: list.splice(i, 1); break;
      case 1: list.splice(dice.below(list.length + 1), 0, structuredClone(node)); break;
      case 2: node.field = dice.pick([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 21, 25, dice.below(40) + 1]); break;
      case 3: list.splice(i, 1); root.splice(dice.below(root.length + 1), 0, node); break;
      case 4: list.splice(dice.below(list.length + 1), 0, { field: 1 + dice.below(26), wire: 0, value: edge(dice) }); break;
      case 5: if (Array.isArray(node.value)) node.value.push(structuredClone(dice.pick(root))); break;
      case 6: { const [a, b] = [dice.below(list.length), dice.below(list.length)]; [list[a], list[b]] = [list[b], list[a]]; break; }
      default:
        if (typeof node.value === 'bigint') node.value = dice.chance(2) ? edge(dice) : node.value + BigInt(dice.below(9) - 4);
        else if (node.value instanceof Uint8Array && node.value.length > 0) {
          if (dice.chance(2)) node.value[dice.below(node.value.length)] = dice.below(256);
          else node.value = dice.chance(2) ? node.value.slice(0, dice.below(node.value.length)) : joined(node.value, node.value);
        }
    }
    return write(root);
  },
};

/** A .npy file: the text of its header, with its length put right. */
export const npyStructure: Structure = {
  fields: (bytes) => (bytes.length < 12 ? [] : [{ at: 6, width: 1 }, { at: 7, width: 1 }, { at: 8, width: 2 }]),
  change: (bytes, dice) => {
    if (bytes.length < 10) return bytes;
    const end = Math.min(bytes.length, 10 + bytes[8] + 256 * bytes[9]);
    const header = encode(changeJson(decode(bytes.subarray(10, end)), dice));
    return joined(bytes.subarray(0, 8), [header.length & 255, (header.length >> 8) & 255], header, bytes.subarray(end));
  },
};

/** Numbers of a ZIP file behind each of its signatures. */
export const zipStructure: Structure = {
  fields: (bytes) => {
    const fields: Field[] = [];
    for (let at = 0; at + 22 <= bytes.length; at++) {
      if (bytes[at] !== 0x50 || bytes[at + 1] !== 0x4b) continue;
      const places: readonly (readonly [number, 2 | 4])[] = bytes[at + 2] === 3 ? [[6, 2], [8, 2], [14, 4], [18, 4], [22, 4], [26, 2], [28, 2]]
        : bytes[at + 2] === 1 ? [[8, 2], [10, 2], [16, 4], [20, 4], [24, 4], [28, 2], [30, 2], [32, 2], [42, 4]] : [[8, 2], [10, 2], [12, 4], [16, 4], [20, 2]];
      for (const [offset, width] of places) if (at + offset + width <= bytes.length) fields.push({ at: at + offset, width });
    }
    return fields;
  },
};

/** Chunks of a PNG file: length, name, content, checksum. */
function chunks(bytes: Uint8Array): { begin: number; length: number }[] {
  const found: { begin: number; length: number }[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    if (at + 12 + length > bytes.length) break;
    found.push({ begin: at, length });
    at += 12 + length;
  }
  return found;
}
export const pngStructure: Structure = {
  fields: (bytes) => chunks(bytes).flatMap(({ begin, length }): Field[] => [
    { at: begin, width: 4, big: true },
    ...(length >= 13 ? [{ at: begin + 8, width: 4, big: true } as const, { at: begin + 12, width: 4, big: true } as const, ...[16, 17, 18, 19, 20].map((at): Field => ({ at: begin + at, width: 1 }))] : []),
  ]),
  repair: (bytes) => {
    const out = bytes.slice();
    const view = new DataView(out.buffer);
    for (const { begin, length } of chunks(out)) view.setUint32(begin + 8 + length, crc32(out.subarray(begin + 4, begin + 8 + length)));
    return out;
  },
};

/** Segments of a JPEG file: the length behind each marker, and the first bytes of what follows. */
export const jpegStructure: Structure = {
  fields: (bytes) => {
    const fields: Field[] = [];
    for (let at = 0; at + 20 <= bytes.length; at++) {
      if (bytes[at] !== 0xff || bytes[at + 1] < 0xc0 || bytes[at + 1] === 0xff) continue;
      fields.push({ at: at + 1, width: 1 }, { at: at + 2, width: 2, big: true }, { at: at + 5, width: 2, big: true }, { at: at + 7, width: 2, big: true });
      for (let i = 4; i < 18; i++) fields.push({ at: at + i, width: 1 });
    }
    return fields;
  },
};

export const idxStructure: Structure = {
  fields: (bytes) => [{ at: 2, width: 1 } as Field, { at: 3, width: 1 } as Field, ...[4, 8, 12, 16].map((at): Field => ({ at, width: 4, big: true }))].filter(({ at, width }) => at + width <= bytes.length),
};
