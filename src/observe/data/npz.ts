/** NumPy archives: `.npz` is a ZIP file of `.npy` members, stored or deflated. */
import { deflateSync, Inflate } from 'fflate';
import { defineErrors } from '../../errors.ts';
import type { Tensor } from '../../engine/tensor.ts';
import { readNpy, writeNpy } from './npy.ts';

/** More arrays than any batch of named inputs has. */
export const maxMembers = 4096;
/** All arrays of one archive together; a calibration set is held in memory. */
export const maxUnpackedBytes = 2 ** 31;

const errors = defineErrors('npz', {
  noDirectory: (f: { name: string }) => `${f.name}: not a .npz file (no ZIP directory at its end)`,
  badDirectory: (f: { name: string; at: number }) => `${f.name}: broken ZIP directory entry at byte ${f.at}`,
  tooManyMembers: (f: { name: string; count: number }) => `${f.name}: ${f.count} members (limit ${maxMembers})`,
  tooLarge: (f: { name: string; bytes: number }) => `${f.name}: unpacks to ${f.bytes} bytes (limit ${maxUnpackedBytes})`,
  badMember: (f: { name: string; member: string; why: string }) => `${f.name}: member ${f.member}: ${f.why}`,
  duplicate: (f: { name: string; member: string }) => `${f.name}: two members are called ${f.member}`,
});

interface Member { readonly name: string; readonly method: number; readonly packed: number; readonly size: number; readonly crc: number; readonly local: number }

/** The arrays of a `.npz` file by name (without `.npy`), in the order of its directory. */
export function readNpz(bytes: Uint8Array, name = 'archive'): Map<string, Tensor> {
  const arrays = new Map<string, Tensor>();
  for (const member of directory(bytes, name)) {
    const key = member.name.replace(/\.npy$/, '');
    if (arrays.has(key)) throw errors.duplicate({ name, member: key });
    arrays.set(key, readNpy(unpack(bytes, member, name), `${name}: ${key}`));
  }
  return arrays;
}

function directory(bytes: Uint8Array, name: string): Member[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  // The end record may carry a comment of up to 65 535 bytes.
  while (end >= 0 && end >= bytes.length - 22 - 65535 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) throw errors.noDirectory({ name });
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  if (count > maxMembers) throw errors.tooManyMembers({ name, count });
  const members: Member[] = [];
  let total = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== 0x02014b50) throw errors.badDirectory({ name, at });
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    if (at + 46 + nameLength + extraLength > bytes.length) throw errors.badDirectory({ name, at });
    const member = {
      name: new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength)),
      method: view.getUint16(at + 10, true), crc: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true), size: view.getUint32(at + 24, true), local: view.getUint32(at + 42, true),
    };
    if ((view.getUint16(at + 8, true) & 1) !== 0) throw errors.badMember({ name, member: member.name, why: 'is encrypted' });
    if (member.size === 0xffffffff || member.packed === 0xffffffff) {
      throw errors.badMember({ name, member: member.name, why: 'is larger than 4 GB (ZIP64)' });
    }
    total += member.size;
    if (total > maxUnpackedBytes) throw errors.tooLarge({ name, bytes: total });
    members.push(member);
    at += 46 + nameLength + extraLength + view.getUint16(at + 32, true);
  }
  return members;
}

function unpack(bytes: Uint8Array, member: Member, name: string): Uint8Array {
  const fail = (why: string) => errors.badMember({ name, member: member.name, why });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (member.local + 30 > bytes.length || view.getUint32(member.local, true) !== 0x04034b50) throw fail('has no local header');
  const begin = member.local + 30 + view.getUint16(member.local + 26, true) + view.getUint16(member.local + 28, true);
  if (begin + member.packed > bytes.length) throw fail(`ends after the file (${bytes.length} bytes)`);
  const packed = bytes.subarray(begin, begin + member.packed);
  if (member.method !== 0 && member.method !== 8) throw fail(`uses compression method ${member.method} (known: 0, 8)`);
  if (member.method === 0 && packed.length !== member.size) throw fail(`is stored in ${packed.length} bytes but declares ${member.size}`);
  const data = member.method === 0 ? packed : inflateBounded(packed, member.size, fail);
  if (crc32(data) !== member.crc) throw fail('has a wrong checksum');
  return data;
}

/** Inflates to exactly `size` bytes; stops as soon as a stream grows past that. Memory grows with what arrives, not with the claim. */
export function inflateBounded(packed: Uint8Array, size: number, fail: (why: string) => Error): Uint8Array {
  const parts: Uint8Array[] = [];
  let written = 0;
  const stream = new Inflate((chunk) => {
    written += chunk.length;
    if (written > size) throw fail(`inflates past its declared ${size} bytes`);
    parts.push(chunk);
  });
  try {
    // Small steps keep one push from inflating a thousandfold before the callback can object.
    for (let at = 0; at < packed.length; at += 16384) stream.push(packed.subarray(at, at + 16384), at + 16384 >= packed.length);
  } catch (error) {
    if (error instanceof Error && 'facts' in error) throw error;
    throw fail(`does not inflate (${error instanceof Error ? error.message : String(error)})`);
  }
  if (written !== size) throw fail(`inflates to ${written} bytes but declares ${size}`);
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** A `.npz` file with the arrays in the order given; same arrays, same bytes (the date is fixed at 1980-01-01). */
export function writeNpz(arrays: ReadonlyMap<string, Tensor>, { compress = false } = {}): Uint8Array {
  const locals: Uint8Array[] = [];
  const entries: Uint8Array[] = [];
  let at = 0;
  for (const [key, tensor] of arrays) {
    const data = writeNpy(tensor);
    const packed = compress ? deflateSync(data) : data;
    const name = new TextEncoder().encode(`${key}.npy`);
    const common = new DataView(new ArrayBuffer(26));
    common.setUint16(0, 20, true);
    common.setUint16(4, compress ? 8 : 0, true);
    common.setUint16(8, 0x21, true);
    common.setUint32(10, crc32(data), true);
    common.setUint32(14, packed.length, true);
    common.setUint32(18, data.length, true);
    common.setUint16(22, name.length, true);
    const fields = new Uint8Array(common.buffer);
    const local = new Uint8Array(30 + name.length);
    local.set([0x50, 0x4b, 3, 4]);
    local.set(fields, 4);
    local.set(name, 30);
    const entry = new Uint8Array(46 + name.length);
    entry.set([0x50, 0x4b, 1, 2, 20, 0]);
    entry.set(fields, 6);
    new DataView(entry.buffer).setUint32(42, at, true);
    entry.set(name, 46);
    locals.push(local, packed);
    entries.push(entry);
    at += local.length + packed.length;
  }
  const directoryBytes = entries.reduce((sum, entry) => sum + entry.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, entries.length, true);
  end.setUint16(10, entries.length, true);
  end.setUint32(12, directoryBytes, true);
  end.setUint32(16, at, true);
  const out = new Uint8Array(at + directoryBytes + 22);
  let to = 0;
  for (const part of [...locals, ...entries, new Uint8Array(end.buffer)]) { out.set(part, to); to += part.length; }
  return out;
}
