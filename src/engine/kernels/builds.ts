/** Builds of kernels: with the dot products of bytes that relaxed SIMD has, or without. Both give the same bits where the former pass their test. */
export type Build = 'plain SIMD' | 'relaxed SIMD';

const found = new Map<() => Uint8Array<ArrayBuffer>, Build>();

/** Relaxed dot products where the engine compiles them and they add up, which is tried once: Node 20 gives wrong sums, some engines none. */
export function fasterOf(relaxed: () => Uint8Array<ArrayBuffer>, addsUp: () => boolean): Build {
  const build = found.get(relaxed) ?? (WebAssembly.validate(relaxed()) && addsUp() ? 'relaxed SIMD' : 'plain SIMD');
  found.set(relaxed, build);
  return build;
}
