/**
 * Bytes of the WebAssembly memories of this worker: those of our kernels, of ONNX Runtime and of the solver. Browsers leave
 * them out of their own count (Chromium 156 counts only shared ones that never grew, once per thread). Imported before
 * anything that makes one.
 */
const memories = new Set<WeakRef<WebAssembly.Memory>>();

function watch<T>(made: T): T {
  if (made instanceof WebAssembly.Memory) memories.add(new WeakRef(made));
  return made;
}

function watchExports(instance: WebAssembly.Instance): void {
  Object.values(instance.exports).forEach(watch);
}

WebAssembly.Memory = new Proxy(WebAssembly.Memory, { construct: (target, given) => watch(Reflect.construct(target, given) as WebAssembly.Memory) });
WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(target, given) {
    const instance = Reflect.construct(target, given) as WebAssembly.Instance;
    watchExports(instance);
    return instance;
  },
});
for (const name of ['instantiate', 'instantiateStreaming'] as const) {
  WebAssembly[name] = new Proxy(WebAssembly[name] as (...given: never) => Promise<WebAssembly.Instance | WebAssembly.WebAssemblyInstantiatedSource>, {
    async apply(target, self, given) {
      const made = await (Reflect.apply(target, self, given) as Promise<WebAssembly.Instance | WebAssembly.WebAssemblyInstantiatedSource>);
      watchExports('instance' in made ? made.instance : made);
      return made;
    },
  }) as never;
}

/** Memories that nothing refers to any more leave the sum when the browser collects them. */
export function wasmBytes(): number {
  let bytes = 0;
  for (const one of memories) {
    const memory = one.deref();
    if (memory === undefined) memories.delete(one);
    else bytes += memory.buffer.byteLength;
  }
  return bytes;
}
