/** The memory of a decoder: handed out from one end, freed as a whole. */
import { defineErrors } from '../errors.ts';
import { reservedBytes } from '../engine/kernels/lowbit.ts';

const pageBytes = 65_536;
/** WebAssembly addresses 32 bits. */
const maxPages = 65_536;

const errors = defineErrors('runtime', {
  tooLarge: (f: { bytes: number }) => [`the model needs ${(f.bytes / 2 ** 30).toFixed(1)} GiB, and one WebAssembly memory holds 4`, 'take fewer bits or a shorter context'],
});

export class Arena {
  readonly memory: WebAssembly.Memory;
  #end = reservedBytes;

  /** Threads need a memory that is shared, which pages have only where they are isolated. */
  constructor(shared = false) {
    this.memory = new WebAssembly.Memory({ initial: 16, maximum: maxPages, ...(shared ? { shared } : {}) });
  }

  /** Address of `bytes` zeros, at a multiple of 64. */
  take(bytes: number): number {
    const at = this.#end;
    const end = at + Math.ceil(bytes / 64) * 64;
    const missing = Math.ceil(end / pageBytes) - this.memory.buffer.byteLength / pageBytes;
    if (Math.ceil(end / pageBytes) > maxPages) throw errors.tooLarge({ bytes: end });
    if (missing > 0) {
      try {
        this.memory.grow(missing);
      } catch {
        throw errors.tooLarge({ bytes: end });
      }
    }
    this.#end = end;
    return at;
  }

  /** Bytes handed out. */
  get bytes(): number { return this.#end; }

  floats(at: number, count: number): Float32Array { return new Float32Array(this.memory.buffer, at, count); }
  bytesAt(at: number, count: number): Uint8Array { return new Uint8Array(this.memory.buffer, at, count); }
}
