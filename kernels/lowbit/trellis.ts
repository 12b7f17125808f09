/**
 * Products straight from trellis codes (src/formats/trellis): tiles of 16 by 16 weights, row after row one path, whose states
 * of up to 16 bits are windows of the bits that its steps took in, and stand for one or two weights of a table.
 *
 * A tile's bits lie with those of the last step lowest, so that the state after step t begins (steps − 1 − t) · k bits above
 * the tile, and its first four bytes again behind it, as the path bites its tail. Strips of 16 rows from the top, in each the
 * tiles from the left, k bits a step in the first ones and k′ in the others. A form of eight words: tiles of a strip, how
 * many of them are of the first kind, k, table of k, k′, table of k′, ones for the bits of a state, weights of a state.
 * Tables hold integers of at most 2047; scales [panel][row] are those of rows.
 */
import { inputBytes } from './inputs';
import { blockGroups, everyToken } from './tile';

/** Where the scales of rows lie once for each group of a block, behind its codes. */
const scalesAt: usize = 4096;

// @ts-ignore: decorator
@inline
function state(at: usize, bit: i32, ones: u32): usize { return <usize>((load<u32>(at + <usize>(bit >> 3)) >> (bit & 7)) & ones); }

/** Eight rows of a tile as pairs of columns; the state of the first weight begins at `bit`. */
function unpackSingles(at: usize, bit: i32, k: i32, ones: u32, values: usize, to: usize): void {
  for (let row = to; row < to + 32; row += 4) {
    for (let place = row; place < row + 256; place += 32) {
      const first = <u32>load<u16>(values + (state(at, bit, ones) << 1));
      const second = <u32>load<u16>(values + (state(at, bit - k, ones) << 1));
      store<u32>(place, first | (second << 16));
      bit -= k << 1;
    }
  }
}

/** The same where a state stands for both. */
function unpackPairs(at: usize, bit: i32, k: i32, ones: u32, values: usize, to: usize): void {
  for (let row = to; row < to + 32; row += 4) {
    for (let place = row; place < row + 256; place += 64) {
      store<u32>(place, load<u32>(values + (state(at, bit, ones) << 2)));
      store<u32>(place, load<u32>(values + (state(at, bit - k, ones) << 2)), 32);
      bit -= k << 1;
    }
  }
}

/** Bytes of a tile, those that are repeated included. */
// @ts-ignore: decorator
@inline
function tileBytes(k: i32, perState: i32): usize { return <usize>((256 / perState) * k / 8 + 4); }

export function productTrellis(form: usize, w: usize, scales: usize, groups: i32, x: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  const across = load<i32>(form), few = load<i32>(form, 4), ones = load<u32>(form, 24), perState = load<i32>(form, 28);
  const k = load<i32>(form, 8), values = <usize>load<u32>(form, 12), more = load<i32>(form, 16), others = <usize>load<u32>(form, 20);
  const each = tileBytes(k, perState), wider = tileBytes(more, perState);
  const stripBytes = <usize>few * each + <usize>(across - few) * wider;
  const row = <usize>groups * inputBytes;
  for (let p = first; p < last; p++) {
    const strip = w + <usize>(p >> 1) * stripBytes;
    /** The step before which the panel's rows lie in their tiles. */
    const rest = (256 - (p & 1) * 128) / perState - 1;
    const s = scratch + scalesAt;
    for (let g: usize = 0; g < 256; g += 32) {
      v128.store(s + g, v128.load(scales + (<usize>p << 5)));
      v128.store(s + g, v128.load(scales + (<usize>p << 5), 16), 16);
    }
    for (let g = 0; g < groups; g += blockGroups) {
      const stop = scratch + (<usize>min(blockGroups, groups - g) << 9);
      let tile = g * 2;
      for (let to = scratch; to < stop; to += 256, tile++) {
        if (tile >= across) {
          memory.fill(to, 0, 256);
        } else if (tile < few) {
          const at = strip + <usize>tile * each;
          if (perState === 2) unpackPairs(at, rest * k, k, ones, values, to);
          else unpackSingles(at, rest * k, k, ones, values, to);
        } else {
          const at = strip + <usize>few * each + <usize>(tile - few) * wider;
          if (perState === 2) unpackPairs(at, rest * more, more, ones, others, to);
          else unpackSingles(at, rest * more, more, ones, others, to);
        }
      }
      everyToken(g === 0, scratch, stop, s, s, x + <usize>g * inputBytes, row, tokens, out, stride, p, false, false);
    }
  }
}
