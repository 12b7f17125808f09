/**
 * The protobuf wire format, reading: a cursor over a byte source that holds one window of the file.
 * Parsers are generators that pause when the window must move, so that they read as plain code,
 * run at memory speed, and never hold a message of any size.
 * Source: https://protobuf.dev/programming-guides/encoding/
 */
import { defineErrors } from '../errors.ts';
import type { ByteSource } from './source.ts';

/** A parser in progress; each pause asks for that many bytes from the cursor on. */
export type Parsing<T> = Generator<number, T, void>;

export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Fields and list entries together. Real models have some hundred thousand; beyond this a file only costs time and memory. */
const maxFields = 8_000_000;
/** All names and texts together. */
const maxTextBytes = 64 * 1024 * 1024;
/** Enough for the disk, small beside the memory of any machine. */
const windowBytes = 256 * 1024;
/** A tag of at most 5 bytes and a varint or a fixed-width value of at most 10. */
const headerBytes = 15;

const errors = defineErrors('protobuf', {
  truncated: (f: { file: string; at: number }) => `${f.file}: cut off or damaged at byte ${f.at}: a message ends inside a field`,
  overrun: (f: { file: string; at: number; length: number; left: number }) =>
    `${f.file}: byte ${f.at} announces ${f.length} bytes where ${f.left} are left`,
  varint: (f: { file: string; at: number }) => `${f.file}: byte ${f.at}: number of more than 64 bits`,
  tag: (f: { file: string; at: number; tag: number }) => `${f.file}: byte ${f.at}: ${f.tag} is not a protobuf field tag`,
  wireType: (f: { file: string; at: number; field: number; found: number; expected: number }) =>
    `${f.file}: byte ${f.at}: field ${f.field} has wire type ${f.found}, expected ${f.expected}`,
  tooManyFields: (f: { file: string; limit: number }) => `${f.file}: more than ${f.limit} fields and list entries`,
  tooMuchText: (f: { file: string; limit: number }) => `${f.file}: more than ${f.limit} bytes of names and texts`,
  longList: (f: { file: string; at: number; limit: number }) => `${f.file}: byte ${f.at}: a list of more than ${f.limit} entries`,
  longText: (f: { file: string; at: number; length: number; limit: number }) =>
    `${f.file}: byte ${f.at}: text of ${f.length} bytes (limit ${f.limit})`,
  badText: (f: { file: string; at: number }) => `${f.file}: byte ${f.at}: text is not UTF-8`,
});

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Wire {
  readonly source: ByteSource;
  /** Position in the file. */
  at = 0;
  /** Of the field last read by `next`. */
  field = 0;
  type = 0;
  /** Where the payload of the current field begins. */
  valueAt = 0;
  /** End of the payload of a length-delimited field; equals `at` for the others. */
  stop = 0;
  /** Value of a varint or fixed field, as two unsigned 32-bit halves. */
  low = 0;
  high = 0;

  #window: Uint8Array<ArrayBufferLike> = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  #begin = 0;
  #fields = 0;
  #textBytes = 0;

  constructor(source: ByteSource) {
    this.source = source;
  }

  /** Runs a parser to its end, moving the window when it asks. */
  async run<T>(parsing: Parsing<T>): Promise<T> {
    for (;;) {
      const step = parsing.next();
      if (step.done) return step.value;
      const end = Math.min(this.source.size, this.at + Math.max(step.value, windowBytes));
      this.#window = await this.source.read(this.at, end);
      this.#view = new DataView(this.#window.buffer, this.#window.byteOffset, this.#window.byteLength);
      this.#begin = this.at;
    }
  }

  /** True when the `count` bytes from the cursor on lie in the window. */
  #has(count: number): boolean {
    return this.at >= this.#begin && this.at + count <= this.#begin + this.#window.byteLength;
  }

  /** Reads the header of the next field of a message that ends at `end`; false at the end. */
  *next(end: number): Parsing<boolean> {
    if (this.at >= end) return false;
    this.#spend(1);
    const wanted = Math.min(headerBytes, this.source.size - this.at);
    if (!this.#has(wanted)) yield wanted;
    const start = this.at;
    this.#varint(end);
    const tag = this.low;
    this.field = tag >>> 3;
    this.type = tag & 7;
    this.valueAt = this.at;
    if (this.high !== 0 || this.field === 0) throw errors.tag({ file: this.source.name, at: start, tag });
    switch (this.type) {
      case wireTypes.varint:
        this.#varint(end);
        break;
      case wireTypes.fixed64:
        this.#fixed(end, 8);
        break;
      case wireTypes.fixed32:
        this.#fixed(end, 4);
        break;
      case wireTypes.bytes: {
        this.#varint(end);
        const length = this.high * 2 ** 32 + this.low;
        if (length > end - this.at) throw errors.overrun({ file: this.source.name, at: start, length, left: end - this.at });
        this.stop = this.at + length;
        return true;
      }
      default:
        throw errors.tag({ file: this.source.name, at: start, tag });
    }
    this.stop = this.at;
    return true;
  }

  #spend(count: number): void {
    this.#fields += count;
    if (this.#fields > maxFields) throw errors.tooManyFields({ file: this.source.name, limit: maxFields });
  }

  #varint(end: number): void {
    const start = this.at;
    const window = this.#window;
    let low = 0;
    let high = 0;
    for (let shift = 0; ; shift += 7) {
      if (this.at >= end || this.at - this.#begin >= window.byteLength) throw errors.truncated({ file: this.source.name, at: start });
      const byte = window[this.at++ - this.#begin];
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) { low |= bits << 28; high |= bits >>> 4; }
      else high |= bits << (shift - 32);
      if (byte < 0x80) break;
      if (shift === 63) throw errors.varint({ file: this.source.name, at: start });
    }
    this.low = low >>> 0;
    this.high = high >>> 0;
  }

  #fixed(end: number, bytes: 4 | 8): void {
    if (this.at + bytes > end) throw errors.truncated({ file: this.source.name, at: this.at });
    this.low = this.#view.getUint32(this.at - this.#begin, true);
    this.high = bytes === 8 ? this.#view.getUint32(this.at - this.#begin + 4, true) : 0;
    this.at += bytes;
  }

  /** Fails unless the current field has this wire type. */
  expect(type: number): void {
    if (this.type !== type) {
      throw errors.wireType({ file: this.source.name, at: this.at, field: this.field, found: this.type, expected: type });
    }
  }

  /** Passes over the payload of the current field. */
  skip(): void {
    this.at = this.stop;
  }

  /** End of the message in the current field; the caller reads its fields up to there. */
  message(): number {
    this.expect(wireTypes.bytes);
    return this.stop;
  }

  /** The current field as a signed 64-bit integer, rounded to the nearest double beyond 2^53. */
  int(): number {
    this.expect(wireTypes.varint);
    return (this.high | 0) * 2 ** 32 + this.low;
  }

  /** The current field as float32 (the value of a fixed32). */
  float(): number {
    this.expect(wireTypes.fixed32);
    scratch.setUint32(0, this.low, true);
    return scratch.getFloat32(0, true);
  }

  /** A copy of the payload of the current field. */
  *bytes(limit: number): Parsing<Uint8Array> {
    this.expect(wireTypes.bytes);
    const length = this.stop - this.at;
    this.#textBytes += length;
    if (this.#textBytes > maxTextBytes) throw errors.tooMuchText({ file: this.source.name, limit: maxTextBytes });
    if (length > limit) throw errors.longText({ file: this.source.name, at: this.at, length, limit });
    if (!this.#has(length)) yield length;
    const copy = this.#window.slice(this.at - this.#begin, this.stop - this.#begin);
    this.at = this.stop;
    return copy;
  }

  /** The payload of the current field as text. */
  *text(limit: number): Parsing<string> {
    const start = this.at;
    const bytes = yield* this.bytes(limit);
    try {
      return utf8.decode(bytes);
    } catch {
      throw errors.badText({ file: this.source.name, at: start });
    }
  }

  /** Signed integers of a repeated field, whether packed or one by one; at most `limit` are appended to `into`. */
  *ints(into: number[], limit: number): Parsing<void> {
    if (this.type === wireTypes.varint) {
      if (into.length >= limit) throw errors.longList({ file: this.source.name, at: this.at, limit });
      into.push(this.int());
      return;
    }
    const end = this.message();
    while (this.at < end) {
      if (into.length >= limit) throw errors.longList({ file: this.source.name, at: this.at, limit });
      this.#spend(1);
      const wanted = Math.min(headerBytes, this.source.size - this.at);
      if (!this.#has(wanted)) yield wanted;
      this.#varint(end);
      into.push((this.high | 0) * 2 ** 32 + this.low);
    }
  }

  /** Floats of a repeated field, whether packed or one by one. */
  *floats(into: number[], limit: number): Parsing<void> {
    if (this.type === wireTypes.fixed32) {
      if (into.length >= limit) throw errors.longList({ file: this.source.name, at: this.at, limit });
      into.push(this.float());
      return;
    }
    const start = this.at;
    if (this.stop - this.at > 4 * (limit - into.length)) throw errors.longList({ file: this.source.name, at: this.at, limit });
    this.#spend((this.stop - this.at) / 4);
    const bytes = yield* this.bytes(this.stop - this.at);
    if (bytes.byteLength % 4 !== 0) throw errors.truncated({ file: this.source.name, at: start });
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.byteLength; at += 4) into.push(view.getFloat32(at, true));
  }

  /** How many varints the payload of the current field holds: the number of bytes that end one. */
  *countVarints(): Parsing<number> {
    const end = this.message();
    let count = 0;
    let last = 0;
    while (this.at < end) {
      const wanted = Math.min(windowBytes, end - this.at);
      if (!this.#has(wanted)) yield wanted;
      const from = this.at - this.#begin;
      for (let i = from; i < from + wanted; i++) if (this.#window[i] < 0x80) count++;
      last = this.#window[from + wanted - 1];
      this.at += wanted;
    }
    if (last >= 0x80) throw errors.truncated({ file: this.source.name, at: end });
    return count;
  }
}

const scratch = new DataView(new ArrayBuffer(8));
