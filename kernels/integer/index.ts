/**
 * Convolutions of integer codes, and their rescaling, for networks that compute in integers alone.
 *
 * Inputs lie as 16-bit codes [height, width, channels] with their padding around them, so that what a row of a window
 * covers is one run of memory; weights of a run are filled up with zeros to eight. Sums wrap around in 32 bits, whatever
 * their order: the plain twins in src/engine/integer/products.ts give the same integers.
 */
import { whole } from '../lowbit/vector';

/** i32 [channels, height, width] → i16 [tall, wide, channels], zeros around. */
export function place(from: usize, channels: i32, height: i32, width: i32, top: i32, left: i32, tall: i32, wide: i32, to: usize): void {
  memory.fill(to, 0, <usize>(tall * wide * channels) << 1);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      let at = to + (<usize>(((y + top) * wide + left) * channels + c) << 1);
      for (let x = 0; x < width; x++) {
        store<i16>(at, <i16>load<i32>(from));
        from += 4;
        at += <usize>channels << 1;
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function dot(sum: v128, x: v128, w: usize): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(x, v128.load(w)));
}

/**
 * out[output][y][x] for weights [outputs / 4][kernel rows][runs][length / 8][4][8]: `runs` of `length` codes (a multiple of
 * eight) per row of the window, `apart` codes from each other; rows of the window `below` codes apart, positions `right`
 * and `down`. Results are planes of outY · outX, those beyond `outputs` left out.
 */
export function convolve(x: usize, w: usize, outputs: i32, outY: i32, outX: i32, rows: i32, runs: i32, length: i32, apart: i32, below: i32, right: i32, down: i32, out: usize): void {
  const plane = <usize>(outY * outX) << 2;
  const weights = <usize>(rows * runs * length) << 3;
  for (let o = 0; o < outputs; o += 4, w += weights, out += plane << 2) {
    const count = min(4, outputs - o);
    for (let y = 0; y < outY; y++) {
      let at = out + (<usize>(y * outX) << 2);
      let column = 0;
      for (; column + 1 < outX; column += 2, at += 8) {
        let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
        let from = x + (<usize>(y * down + column * right) << 1);
        let k = w;
        const next = <usize>right << 1;
        for (let row = 0; row < rows; row++, from += <usize>below << 1) {
          for (let run = 0; run < runs; run++) {
            let p = from + (<usize>(run * apart) << 1);
            for (let i = 0; i < length; i += 8, p += 16, k += 64) {
              const u = v128.load(p), v = v128.load(p + next);
              a = dot(a, u, k); b = dot(b, u, k + 16); c = dot(c, u, k + 32); d = dot(d, u, k + 48);
              e = dot(e, v, k); f = dot(f, v, k + 16); g = dot(g, v, k + 32); h = dot(h, v, k + 48);
            }
          }
        }
        store<i32>(at, whole(a)); store<i32>(at, whole(e), 4);
        if (count > 1) { store<i32>(at + plane, whole(b)); store<i32>(at + plane, whole(f), 4); }
        if (count > 2) { store<i32>(at + 2 * plane, whole(c)); store<i32>(at + 2 * plane, whole(g), 4); }
        if (count > 3) { store<i32>(at + 3 * plane, whole(d)); store<i32>(at + 3 * plane, whole(h), 4); }
      }
      if (column == outX) continue;
      let a = i32x4.splat(0), b = a, c = a, d = a;
      let from = x + (<usize>(y * down + column * right) << 1);
      let k = w;
      for (let row = 0; row < rows; row++, from += <usize>below << 1) {
        for (let run = 0; run < runs; run++) {
          let p = from + (<usize>(run * apart) << 1);
          for (let i = 0; i < length; i += 8, p += 16, k += 64) {
            const u = v128.load(p);
            a = dot(a, u, k); b = dot(b, u, k + 16); c = dot(c, u, k + 32); d = dot(d, u, k + 48);
          }
        }
      }
      store<i32>(at, whole(a));
      if (count > 1) store<i32>(at + plane, whole(b));
      if (count > 2) store<i32>(at + 2 * plane, whole(c));
      if (count > 3) store<i32>(at + 3 * plane, whole(d));
    }
  }
}

/** Every channel by itself: weights [kernel rows][kernel columns][channels, filled up to eight]; columns of the window `apart` codes from each other. */
export function convolveDepth(x: usize, w: usize, channels: i32, outY: i32, outX: i32, rows: i32, columns: i32, apart: i32, below: i32, right: i32, down: i32, out: usize): void {
  const plane = <usize>(outY * outX) << 2;
  const step = <usize>((channels + 7) & ~7) << 1;
  for (let c = 0; c < channels; c += 8) {
    const count = min(8, channels - c);
    for (let y = 0; y < outY; y++) {
      for (let column = 0; column < outX; column++) {
        let low = i32x4.splat(0), high = low;
        let k = w + (<usize>c << 1);
        const from = x + (<usize>(y * down + column * right + c) << 1);
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < columns; j++, k += step) {
            const u = v128.load(from + (<usize>(i * below + j * apart) << 1));
            const v = v128.load(k);
            low = i32x4.add(low, i32x4.extmul_low_i16x8_s(u, v));
            high = i32x4.add(high, i32x4.extmul_high_i16x8_s(u, v));
          }
        }
        let at = out + <usize>c * plane + (<usize>(y * outX + column) << 2);
        store<i32>(at, i32x4.extract_lane(low, 0)); at += plane;
        if (count > 1) { store<i32>(at, i32x4.extract_lane(low, 1)); at += plane; }
        if (count > 2) { store<i32>(at, i32x4.extract_lane(low, 2)); at += plane; }
        if (count > 3) { store<i32>(at, i32x4.extract_lane(low, 3)); at += plane; }
        if (count > 4) { store<i32>(at, i32x4.extract_lane(high, 0)); at += plane; }
        if (count > 5) { store<i32>(at, i32x4.extract_lane(high, 1)); at += plane; }
        if (count > 6) { store<i32>(at, i32x4.extract_lane(high, 2)); at += plane; }
        if (count > 7) store<i32>(at, i32x4.extract_lane(high, 3));
      }
    }
  }
}

/** [count, behind] in place: ⌊(a·m + half) / 2^shift⌋ clamped; multipliers (i32), halves (i64) and shifts (i32) of `factors` channels in turn. */
export function rescale(values: usize, count: i32, behind: i32, multipliers: usize, halves: usize, shifts: usize, factors: i32, low: i32, high: i32): void {
  for (let i = 0; i < count; i++) {
    const channel = <usize>(i % factors);
    const multiplier = <i64>load<i32>(multipliers + (channel << 2));
    const half = load<i64>(halves + (channel << 3));
    const shift = <i64>load<i32>(shifts + (channel << 2));
    for (let j = 0; j < behind; j++, values += 4) {
      const value = (<i64>load<i32>(values) * multiplier + half) >> shift;
      store<i32>(values, <i32>max(<i64>low, min(<i64>high, value)));
    }
  }
}
