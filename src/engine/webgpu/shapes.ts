/** Sizes of tiles that matrix products take: measured by `npm run bench webgpu`. */
import type { InputKind } from './inputs.ts';
import type { TileShape } from './matrix-tiles.ts';
import type { VectorShape } from './matrix-vector.ts';

/** Tokens that a matrix is multiplied with row by row; with more of them it is decoded into tiles. */
export const vectorTokens = 8;

/** Kernels are made for 1, 2, 4 and 8 tokens: what comes of the others is not read. */
export const vectorShape = (tokens: number): VectorShape => ({ tokens: 2 ** Math.ceil(Math.log2(tokens)), rows: 4, threads: 64 });

/** Small tiles for few tokens, so that every core has one. */
export function tileShape(tokens: number, inputs: InputKind): TileShape {
  if (inputs === 'rounded') return tokens <= 128 ? { tokens: 64, rows: 32, ownTokens: 4, ownRows: 4 } : { tokens: 64, rows: 64, ownTokens: 4, ownRows: 4 };
  return tokens <= 128 ? { tokens: 64, rows: 32, ownTokens: 4, ownRows: 4 } : { tokens: 64, rows: 64, ownTokens: 8, ownRows: 4 };
}
