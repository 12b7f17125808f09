/**
 * Products of low-bit matrices with rounded inputs, and what a decoder of language models computes between them.
 *
 * A matrix [rows, cols] lies in panels of eight rows, a panel in groups of 32 columns:
 *   four bits    128 bytes a group: for eight columns at a time and each row four bytes, two words of 16 bits with the even
 *                and the odd columns from the lowest nibble up;
 *   eight bits   256 bytes a group: for two columns at a time and each row two codes;
 *   two, three and four bits by a table as packed.ts and table.ts say, trellises as trellis.ts does;
 *   float        1024 bytes a group: for each column eight values, one per row.
 * Scales (and minima, subtracted) lie [panel][group][row], of halves of a group [panel][group][half][row]. Four bits
 * without minima are codes less 8.
 * Inputs are rounded per group to 8 bits, or to 16: then they are off by at most amax / 65278, 2^-16 of a group's largest.
 *
 * One order for every output: sums of a group in integers, which is exact; then in float32 times the scale, less the
 * minimum times the sum of the inputs, times the scale of the inputs, groups added in ascending order, one rounding per
 * step. Plain twins in src/engine/kernels/lowbit-plain.ts give the same bits, and so do all builds here.
 */
import { panels4 } from './four';
import { panels8 } from './eight';
import { tiles } from './tile';

export { attendRows } from './attend-rows';
export { addTo, attend, rmsNorm, rotate, siluTimes } from './decoder';
export { fewThree, fewThreeNarrow, fewTwo, fewTwoNarrow } from './few';
export { productFloat } from './float';
export { roundInputs } from './inputs';
export { productPacked } from './packed';
export { tableLarge, tableLargeNarrow, tableSmall, tableSmallNarrow } from './table';
export { productTrellis } from './trellis';

/** out[token][8 · panel + row] for panels [first, last); `stride` in values; minima where `mins` is not 0. */
export function product4(w: usize, scales: usize, mins: usize, groups: i32, x: usize, narrow: bool, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  if (mins !== 0) {
    const done = tiles(4, w, scales, mins, groups, x, narrow, tokens, out, stride, first, last, scratch, true, false);
    if (narrow) panels4(w, scales, mins, groups, x, out, stride, done, tokens, first, last, scratch, true, true);
    else panels4(w, scales, mins, groups, x, out, stride, done, tokens, first, last, scratch, true, false);
  } else {
    const done = tiles(4, w, scales, 0, groups, x, narrow, tokens, out, stride, first, last, scratch, false, false);
    if (narrow) panels4(w, scales, 0, groups, x, out, stride, done, tokens, first, last, scratch, false, true);
    else panels4(w, scales, 0, groups, x, out, stride, done, tokens, first, last, scratch, false, false);
  }
}

/** The same of eight bits. */
export function product8(w: usize, scales: usize, mins: usize, groups: i32, x: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  if (mins !== 0) panels8(w, scales, mins, groups, x, out, stride, tiles(8, w, scales, mins, groups, x, false, tokens, out, stride, first, last, scratch, true, false), tokens, first, last, true, false);
  else panels8(w, scales, 0, groups, x, out, stride, tiles(8, w, scales, 0, groups, x, false, tokens, out, stride, first, last, scratch, false, false), tokens, first, last, false, false);
}

/** Eight bits with a scale for each half of a group. */
export function product8Halves(w: usize, scales: usize, groups: i32, x: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  panels8(w, scales, 0, groups, x, out, stride, tiles(8, w, scales, 0, groups, x, false, tokens, out, stride, first, last, scratch, false, true), tokens, first, last, false, true);
}
