/** What the attention kernels share: heads, and a cache of keys and values in floats or halves. */

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  /** Divisible by 4, and by 8 where the cache is of halves. */
  readonly headDim: number;
  /** Positions that the cache holds, a multiple of 64. */
  readonly context: number;
  readonly cache: 'float' | 'half';
  /** A query sees this many positions, itself included; undefined for all. */
  readonly window?: number;
}

/** Dimensions in the 16 bytes that keys are stored by. */
export const keyDims = (cache: AttentionShape['cache']): number => (cache === 'half' ? 8 : 4);

/** Bytes of keys, and of values. */
export const cacheBytes = ({ kvHeads, headDim, context, cache }: AttentionShape): number => kvHeads * headDim * context * (cache === 'half' ? 2 : 4);

/** What all steps of a feed read: tokens seen before, tokens that come, and parts that the cache is read in. */
export const stateBinding = (at: number): string => `
struct State { position: u32, tokens: u32, parts: u32 }
@group(0) @binding(${at}) var<uniform> state: State;`;
export const stateBytes = 16;

/** What attention reads and leaves: state, queries beside keys and values, the cache, and one head of one token after the other. */
export const attentionBindings = (context: number, cache: AttentionShape['cache']): string => `const CONTEXT = ${context}u;
${stateBinding(0)}
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<${cache === 'half' ? 'vec4u' : 'vec4f'}>;
@group(0) @binding(3) var<storage, read> values: array<${cache === 'half' ? 'vec2u' : 'vec4f'}>;
@group(0) @binding(4) var<storage, read_write> left: array<f32>;`;

/** Tokens whose attention is read in parts together. */
export const partTokens = 8;
/** Positions in a part. */
export const partPositions = 256;

/** Floats that attention leaves for one head of one token: sums of values, the largest score and the sum of weights. */
export const leftFloats = (headDim: number): number => headDim + 2;
