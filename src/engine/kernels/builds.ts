/** Builds of kernels: with the dot products of bytes that relaxed SIMD has, or without. Both give the same bits where the former pass their test. */
export type Build = 'plain SIMD' | 'relaxed SIMD';

/** Relaxed dot products where the engine compiles them and they add up: Node 20 gives wrong sums, some engines none. */
export const fasterOf = (relaxed: Uint8Array<ArrayBuffer>, addsUp: () => boolean): Build => (WebAssembly.validate(relaxed) && addsUp() ? 'relaxed SIMD' : 'plain SIMD');
