/** Memory of a network that runs on kernels: blocks by the first that fits, and values in them, channels last. */
import { growTo } from '../kernels/instance.ts';
import { qdqReserved, qdqSlack } from '../kernels/qdq.ts';
import type { Value64 } from '../interpreter/value.ts';
import { sizeOf } from '../interpreter/value.ts';
import { errors } from './geometry.ts';

/** Bytes that a network may take; addresses of 32 bits end at 4 GiB, and pages get less. */
const mostBytes = 2 ** 31;
const pageBytes = 65_536;

export interface Block {
  readonly at: number;
  readonly bytes: number;
  /** Values that lie in it. */
  holders: number;
}

export class Arena {
  readonly memory: WebAssembly.Memory;
  #end = qdqReserved;
  #base = qdqReserved;
  #free: { at: number; bytes: number }[] = [];

  /** Threads need a memory that is shared, which pages have only where they are isolated. */
  constructor(shared = false) {
    this.memory = new WebAssembly.Memory({ initial: 16, ...(shared ? { shared, maximum: mostBytes / pageBytes } : {}) });
  }

  /** Bytes that were ever in use. */
  get bytes(): number {
    return this.#end;
  }

  take(count: number): Block {
    const bytes = Math.ceil((count + qdqSlack) / 64) * 64;
    const found = this.#free.findIndex((hole) => hole.bytes >= bytes);
    if (found >= 0) {
      const hole = this.#free[found];
      if (hole.bytes === bytes) this.#free.splice(found, 1);
      else this.#free[found] = { at: hole.at + bytes, bytes: hole.bytes - bytes };
      return { at: hole.at, bytes, holders: 1 };
    }
    return this.#fresh(bytes);
  }

  #fresh(bytes: number): Block {
    const at = this.#end;
    if (at + bytes > mostBytes) throw errors.memory({ bytes: at + bytes, most: mostBytes });
    this.#end += bytes;
    growTo(this.memory, this.#end);
    return { at, bytes, holders: 1 };
  }

  give(block: Block): void {
    if (--block.holders > 0) return;
    const before = this.#free.findIndex((hole) => hole.at > block.at);
    const i = before < 0 ? this.#free.length : before;
    this.#free.splice(i, 0, { at: block.at, bytes: block.bytes });
    for (const left of [i, i - 1]) {
      const [a, b] = [this.#free[left], this.#free[left + 1]];
      if (a !== undefined && b !== undefined && a.at + a.bytes === b.at) this.#free.splice(left, 2, { at: a.at, bytes: a.bytes + b.bytes });
    }
  }

  /** Bytes that stay, where nothing has been: a run that is repeated writes into what was free before. */
  keep(bytes: Uint8Array): number {
    const { at } = this.#fresh(Math.ceil((bytes.length + qdqSlack) / 64) * 64);
    this.bytesAt(at, bytes.length).set(bytes);
    return at;
  }

  /** What was kept so far stays when all else is forgotten. */
  settle(): void {
    this.#base = this.#end;
  }

  reset(): void {
    this.#end = this.#base;
    this.#free = [];
  }

  bytesAt = (at: number, count: number): Uint8Array => new Uint8Array(this.memory.buffer, at, count);
  floatsAt = (at: number, count: number): Float32Array => new Float32Array(this.memory.buffer, at, count);
}

/** Codes or floats in memory. */
export interface Stored { readonly kind: 'codes' | 'floats'; readonly shape: readonly number[]; readonly block: Block }
/** Elements of another value in other places, by indices in row-major order; nobody has asked for them yet. */
export interface Moved { readonly kind: 'moved'; readonly shape: readonly number[]; readonly of: Stored; readonly from: Int32Array; readonly fill: number }
/** A value of another type; it changes from run to run. */
export interface Held { readonly kind: 'held'; value: Value64 }

/** From row-major order to where elements lie: channels, axis 1, behind all others from three axes on. */
export function lies(shape: readonly number[]): (index: number) => number {
  if (shape.length < 3) return (index) => index;
  const [, channels, ...spatial] = shape;
  const plane = sizeOf(spatial);
  return (index) => {
    const inside = index % plane;
    const row = Math.floor(index / plane);
    return (Math.floor(row / channels) * plane + inside) * channels + (row % channels);
  };
}

/** Axes in the order they lie in. */
export const lyingAxes = (shape: readonly number[]): number[] => {
  const axes = shape.map((_, i) => i);
  return shape.length < 3 ? axes : [0, ...axes.slice(2), 1];
};
