/** Sizes of tiles that matrix products take: measured by `npm run bench webgpu`. */
import type { InputKind } from './inputs.ts';
import { byteVectors } from './matrix-codes.ts';
import { formOf, sideType, type MatrixLayout } from './matrix-layout.ts';
import type { TileShape } from './matrix-tiles.ts';
import type { VectorShape } from './matrix-vector.ts';

/** Tokens that a matrix is multiplied with row by row; with more of them it is decoded into tiles. */
export const vectorTokens = 8;

/** Kernels are made for 1, 2, 4 and 8 tokens: what comes of the others is not read. */
export const vectorShape = (tokens: number, inputs: InputKind): VectorShape => ({
  tokens: 2 ** Math.ceil(Math.log2(tokens)), ...(inputs === 'rounded' ? { rows: 2, threads: 32 } : { rows: 4, threads: 64 }),
});

/** Small tiles for few tokens, so that every core has one; the first that fits into shared memory. */
export function tileShape(tokens: number, inputs: InputKind, layout: MatrixLayout, workgroupBytes: number): TileShape {
  const wanted = shapes[tokens <= 128 ? 'few' : 'many'][inputs];
  return tileBytes(wanted, inputs, layout) <= workgroupBytes ? wanted : smallest;
}

/** Bytes of a group of columns of one row or token, with its scales. */
const groupBytes: Readonly<Record<InputKind, number>> = { float: 128, half: 64, rounded: 40 };

/** Shared memory that a tile takes, with a table of levels. */
export function tileBytes({ tokens, rows, stage }: TileShape, inputs: InputKind, layout: MatrixLayout): number {
  const all = (tokens + rows) * stage * groupBytes[inputs] + (formOf(layout).table === undefined ? 0 : 64);
  if (inputs !== 'rounded') return all;
  // Codes of wide levels take two bytes, and sides with two minima go with sums of half a group.
  return all + rows * stage * 16 * (byteVectors(layout) - 2) + (sideType(layout) === 'vec4f' ? (8 * rows + 4 * tokens) * stage : 0);
}

const smallest: TileShape = { tokens: 32, rows: 32, ownTokens: 4, ownRows: 4, stage: 1 };
const shapes: Readonly<Record<'few' | 'many', Readonly<Record<InputKind, TileShape>>>> = {
  few: { float: smallest, half: { ...smallest, stage: 2 }, rounded: { tokens: 64, rows: 32, ownTokens: 4, ownRows: 4, stage: 4 } },
  many: {
    float: { tokens: 64, rows: 128, ownTokens: 8, ownRows: 4, stage: 1 }, half: { tokens: 128, rows: 64, ownTokens: 8, ownRows: 8, stage: 2 },
    rounded: { tokens: 64, rows: 64, ownTokens: 8, ownRows: 8, stage: 2 },
  },
};
