/** Compiled kernels as the functions that they export. */
import { onSharedMemory } from './share-memory.ts';

/** Those of a module, over the caller's memory or over its own. */
export function exportsOf<Exports>(module: WebAssembly.Module, memory?: WebAssembly.Memory): Exports {
  const abort = (): never => { throw new Error('kernel aborted'); };
  return new WebAssembly.Instance(module, { env: memory === undefined ? { abort } : { memory, abort } }).exports as unknown as Exports;
}

/** Kernels over the caller's memory, shared or not. */
export function kernelsOver<Exports>(wasm: Uint8Array<ArrayBuffer>, memory: WebAssembly.Memory): Exports {
  const shared = typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
  return exportsOf<Exports>(new WebAssembly.Module(shared ? onSharedMemory(wasm) : wasm), memory);
}

const pageBytes = 65_536;

/** Makes a memory hold this many bytes, where it is smaller: views of it are then to be made anew. */
export function growTo(memory: WebAssembly.Memory, bytes: number): void {
  const missing = Math.ceil((bytes - memory.buffer.byteLength) / pageBytes);
  if (missing > 0) memory.grow(missing);
}
