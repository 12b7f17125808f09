/** A module over the memory of one thread as a module over shared memory: its code is the same, only its import says otherwise. */

const importSection = 2;
/** `env`, `memory`, and that this is a memory. */
const wanted = [3, ...bytesOf('env'), 6, ...bytesOf('memory'), 2];
/** Shared, with a lower and an upper limit; the upper one is all pages that WebAssembly addresses. */
const flags = 3;
const mostPages = [0x80, 0x80, 0x04];

function bytesOf(text: string): number[] { return [...text].map((letter) => letter.charCodeAt(0)); }

/** An unsigned number in groups of seven bits, and where it ends. */
function numberAt(bytes: Uint8Array, at: number): readonly [value: number, end: number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value |= (byte & 127) << shift;
    if (byte < 128) return [value, at];
  }
}

/** The module, which imports one memory without an upper limit and little else, with this memory shared. */
export function onSharedMemory(wasm: Uint8Array): Uint8Array<ArrayBuffer> {
  for (let at = 8; ;) {
    const [size, begin] = numberAt(wasm, at + 1);
    if (wasm[at] !== importSection) {
      at = begin + size;
      continue;
    }
    const limits = wasm.findIndex((_, i) => i >= begin && wanted.every((byte, k) => wasm[i + k] === byte)) + wanted.length;
    const head = wasm.subarray(0, at + 1);
    return Uint8Array.from([...head, size + mostPages.length, ...wasm.subarray(begin, limits), flags, wasm[limits + 1], ...mostPages, ...wasm.subarray(limits + 2)]);
  }
}
