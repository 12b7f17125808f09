/**
 * Attention over keys and values of 32 positions in 1.5 and 1.58 bits (VidKV, arXiv:2503.16257), read from the bytes that
 * src/runtime/vidkv.ts writes. A block of one head of `width` channels, of which ⌊width / 2⌋ are loud:
 *   keys     a bit for each channel that says whether it is loud; of each channel in turn, as halves, scale and minimum of
 *            a loud one, the magnitude of a quiet one; the signs of quiet ones, 32 bits each; the codes of loud ones, two
 *            bits each;
 *   values   the magnitude of each channel as a half; three levels, five to a byte, 32 for each channel.
 * Quiet channels hold the half spectrum along the channels of a position. The query goes to where they are instead of the
 * keys to where it is: its quiet channels times `waves` [quiet][quiet, filled up to a multiple of four], of which row t
 * holds what the numbers of a spectrum add to channel t.
 *
 * Order: a score is what codes add, channels ascending, and the sum of minima, channels ascending; a sign is its bit times
 * twice the magnitude, less the magnitude. Probabilities of a block are rounded to 16 bits, so that sums over its positions
 * are sums of integers. The rest is as in ../kvcache; the plain twin in src/engine/kernels/vidkv-plain.ts gives the same bits.
 */
import { fromHalf } from '../ggml/half';
import { mixRows, round16, rowScores, softened } from '../kvcache/rows';
import { held, total, whole } from '../lowbit/vector';

// @ts-ignore: decorator
@inline
const positions: usize = 32;

// @ts-ignore: decorator
@inline
function isLoud(block: usize, channel: usize): bool { return ((load<u8>(block + (channel >> 3)) >> <u8>(channel & 7)) & 1) !== 0; }

/** Four codes of two bits of a byte, taken out by `fields`, each times 4^lane, times `by`, which is as much less in each lane. */
// @ts-ignore: decorator
@inline
function plusCodes(sum: v128, codes: usize, by: v128, fields: v128): v128 {
  return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(v128.and(i32x4.splat(<i32>load<u8>(codes)), fields)), by));
}

/** `by` where the bits of a word from `shift` on are set; `bits` are the lowest four. */
// @ts-ignore: decorator
@inline
function plusSigns(sum: v128, word: v128, shift: i32, by: v128, bits: v128): v128 {
  return f32x4.add(sum, v128.and(by, i32x4.eq(v128.and(shift === 0 ? word : i32x4.shr_u(word, shift), bits), bits)));
}

/** Scores of the positions of a block, which hold constants before; `quiet` takes the quiet channels of the query and then what becomes of them. */
function scoresOf(query: usize, width: usize, scale: f32, waves: usize, block: usize, quiet: usize, scores: usize): void {
  const loudCount = width >> 1;
  const quietCount = width - loudCount;
  const row = (quietCount + 3) & ~3;
  let count: usize = 0;
  for (let c: usize = 0; c < width; c++) {
    if (isLoud(block, c)) continue;
    store<f32>(quiet + (count << 2), load<f32>(query + (c << 2)));
    count++;
  }
  const turned = quiet + (row << 2);
  for (let i: usize = 0; i < row << 2; i += 16) {
    let sum = f32x4.splat(0);
    for (let t: usize = 0; t < quietCount; t++) sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(quiet + (t << 2)), v128.load(waves + ((t * row) << 2) + i)));
    v128.store(turned + i, sum);
  }
  let number = block + ((width + 7) >> 3);
  let sign = number + 2 * (2 * loudCount + quietCount);
  let code = sign + 4 * quietCount;
  let spectrum = turned;
  let base: f32 = 0;
  const fields = held(i32x4(3, 12, 48, 192), scores), parts = held(f32x4(1, 0.25, 0.0625, 0.015625), scores), bits = held(i32x4(1, 2, 4, 8), scores);
  let a = f32x4.splat(0), b = a, d = a, e = a, g = a, h = a, j = a, k = a;
  for (let c: usize = 0; c < width; c++) {
    if (isLoud(block, c)) {
      const x = load<f32>(query + (c << 2));
      const v = x * fromHalf(load<u16>(number));
      base += x * fromHalf(load<u16>(number, 2));
      const by = f32x4.mul(f32x4.splat(v), parts);
      a = plusCodes(a, code, by, fields);
      b = plusCodes(b, code + 1, by, fields);
      d = plusCodes(d, code + 2, by, fields);
      e = plusCodes(e, code + 3, by, fields);
      g = plusCodes(g, code + 4, by, fields);
      h = plusCodes(h, code + 5, by, fields);
      j = plusCodes(j, code + 6, by, fields);
      k = plusCodes(k, code + 7, by, fields);
      number += 4;
      code += 8;
    } else {
      const v = load<f32>(spectrum) * fromHalf(load<u16>(number));
      base -= v;
      const by = f32x4.splat(v + v);
      const word = v128.load32_splat(sign);
      a = plusSigns(a, word, 0, by, bits);
      b = plusSigns(b, word, 4, by, bits);
      d = plusSigns(d, word, 8, by, bits);
      e = plusSigns(e, word, 12, by, bits);
      g = plusSigns(g, word, 16, by, bits);
      h = plusSigns(h, word, 20, by, bits);
      j = plusSigns(j, word, 24, by, bits);
      k = plusSigns(k, word, 28, by, bits);
      number += 2;
      sign += 4;
      spectrum += 4;
    }
  }
  const more = f32x4.splat(base), by = f32x4.splat(scale);
  v128.store(scores, f32x4.mul(f32x4.add(a, more), by));
  v128.store(scores, f32x4.mul(f32x4.add(b, more), by), 16);
  v128.store(scores, f32x4.mul(f32x4.add(d, more), by), 32);
  v128.store(scores, f32x4.mul(f32x4.add(e, more), by), 48);
  v128.store(scores, f32x4.mul(f32x4.add(g, more), by), 64);
  v128.store(scores, f32x4.mul(f32x4.add(h, more), by), 80);
  v128.store(scores, f32x4.mul(f32x4.add(j, more), by), 96);
  v128.store(scores, f32x4.mul(f32x4.add(k, more), by), 112);
}

/** mixed += what the values of a block add. `trits` [256] holds five digits of each byte less 1, in eight bytes; `room` takes 64 bytes and the block's digits. */
function mixBlock(weights: usize, width: usize, block: usize, trits: usize, room: usize, mixed: usize): void {
  let top = f32x4.splat(0);
  for (let i: usize = 0; i < 4 * positions; i += 16) top = f32x4.max(top, v128.load(weights + i));
  const scale = round16(weights, positions, top, room);
  const digits = room + 64;
  const codes = block + 2 * width;
  const bytes = (positions * width + 4) / 5;
  for (let i: usize = 0, to = digits; i < bytes; i++, to += 5) store<u64>(to, load<u64>(trits + (<usize>load<u8>(codes + i) << 3)));
  const w0 = v128.load(room), w1 = v128.load(room, 16), w2 = v128.load(room, 32), w3 = v128.load(room, 48);
  for (let c: usize = 0; c < width; c++) {
    const at = digits + c * positions;
    const sum = i32x4.add(
      i32x4.add(i32x4.dot_i16x8_s(v128.load8x8_s(at), w0), i32x4.dot_i16x8_s(v128.load8x8_s(at, 8), w1)),
      i32x4.add(i32x4.dot_i16x8_s(v128.load8x8_s(at, 16), w2), i32x4.dot_i16x8_s(v128.load8x8_s(at, 24), w3)));
    const to = mixed + (c << 2);
    store<f32>(to, load<f32>(to) + <f32>whole(sum) * (scale * fromHalf(load<u16>(block + 2 * c))));
  }
}

/**
 * Attention of one query head, as in ../kvcache: over positions from `from` on in `blocks` blocks, then over rows [first,
 * last) of floats, then over the listed ones. `keyBytes` of a block are keys. `scratch` takes 4 · width bytes, then 8 bytes
 * for each quiet channel, filled up to a multiple of four, or 72 and a byte for each value of a block.
 */
export function attend(query: usize, width: i32, scale: f32, waves: usize, trits: usize, blockAt: usize, blockStride: usize, keyBytes: usize, blocks: i32, from: i32, keys: usize, values: usize, stride: usize, first: i32, last: i32, listed: usize, more: i32, scores: usize, scratch: usize, out: usize): void {
  const bytes = <usize>width << 2;
  const coded = <usize>blocks * positions;
  const room = scratch + bytes;
  let top: f32 = -Infinity;
  for (let b: usize = 0; b < <usize>blocks; b++) scoresOf(query, width, scale, waves, blockAt + b * blockStride, room, scores + ((b * positions) << 2));
  for (let p: usize = 0; p < <usize>from; p++) store<f32>(scores + (p << 2), -Infinity);
  for (let p: usize = from; p < coded; p++) top = max(top, load<f32>(scores + (p << 2)));
  top = rowScores(query, bytes, scale, keys, stride, first, last, listed, more, scores + (coded << 2), top);
  const sum = f32x4.splat(total(softened(scores, coded + <usize>(last - first + more), top)));
  memory.fill(scratch, 0, bytes);
  for (let b: usize = 0; b < <usize>blocks; b++) mixBlock(scores + ((b * positions) << 2), width, blockAt + b * blockStride + keyBytes, trits, room, scratch);
  mixRows(scratch, bytes, scores + (coded << 2), values, stride, first, last, listed, more, f32x4.splat(0), sum, out);
}
