/** WASM SIMD encoders of ggml block types; each is judged by its plain twin in src/formats/ggml. */
export { f16, bf16, f32check } from './half';
export { q2_k, q4_k, q5_k } from './affine';
export { q3_k, q6_k } from './signed';
export { iq4_nl, iq4_xs } from './iq4';
export { q4_0, q4_1, q5_0, q5_1, q8_0 } from './legacy';
export { mxfp4, nvfp4 } from './fp4';

/** Where the caller's memory begins. */
export function heap(): usize {
  return __heap_base;
}
