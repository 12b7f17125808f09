/**
 * Networks whose operators stand between QuantizeLinear and DequantizeLinear. Activations are codes of 8 bits (signed ones less
 * their sign: code + 128), channels last; weights are signed. Sums of products are exact in 32 bits; what follows is float32,
 * rounded after every operation, codes to nearest with halves to even. The plain twin (src/engine/qdq/plain.ts) gives the same
 * codes and floats.
 */
export { convolve, convolveFloats, convolveToFloats } from './products';
export { depthwise, depthwiseFloats, depthwiseToFloats } from './depthwise';

// @ts-ignore: decorator
@inline
function toCodes(x: v128, y: v128, z: v128, t: v128, scale: v128, zero: v128): v128 {
  const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(x, scale))), b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(y, scale)));
  const c = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(z, scale))), d = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(t, scale)));
  return i8x16.narrow_i16x8_u(i16x8.add_sat_s(i16x8.narrow_i32x4_s(a, b), zero), i16x8.add_sat_s(i16x8.narrow_i32x4_s(c, d), zero));
}

// @ts-ignore: decorator
@inline
function realOf(codes: usize, zero: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(codes))), zero)), scale);
}

/** Floats to codes: x / scale, rounded, moved to the zero point. May write fifteen bytes too many. */
export function quantize(from: usize, count: i32, scale: f32, zero: i32, to: usize): void {
  const scales = f32x4.splat(scale), zeros = i16x8.splat(<i16>zero);
  for (let i = 0; i < count; i += 16, from += 64, to += 16) {
    v128.store(to, toCodes(v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48), scales, zeros));
  }
}

/** Codes to floats: (code − zero) · scale. May write three floats too many. */
export function dequantize(from: usize, count: i32, scale: f32, zero: i32, to: usize): void {
  const scales = f32x4.splat(scale), zeros = i32x4.splat(zero);
  for (let i = 0; i < count; i += 4, from += 4, to += 16) v128.store(to, realOf(from, zeros, scales));
}

/** Sums or products of two runs of codes, each dequantized, as codes within [low, high]. May write fifteen bytes too many. */
export function join(a: usize, b: usize, count: i32, times: bool, scaleA: f32, zeroA: i32, scaleB: f32, zeroB: i32, scale: f32, zero: i32, low: i32, high: i32, to: usize): void {
  const sa = f32x4.splat(scaleA), sb = f32x4.splat(scaleB), za = i32x4.splat(zeroA), zb = i32x4.splat(zeroB);
  const scales = f32x4.splat(scale), zeros = i16x8.splat(<i16>zero), least = i8x16.splat(<i8>low), most = i8x16.splat(<i8>high);
  for (let i = 0; i < count; i += 16, a += 16, b += 16, to += 16) {
    let x = realOf(a, za, sa), y = realOf(a + 4, za, sa), z = realOf(a + 8, za, sa), t = realOf(a + 12, za, sa);
    const p = realOf(b, zb, sb), q = realOf(b + 4, zb, sb), r = realOf(b + 8, zb, sb), s = realOf(b + 12, zb, sb);
    if (times) { x = f32x4.mul(x, p); y = f32x4.mul(y, q); z = f32x4.mul(z, r); t = f32x4.mul(t, s); }
    else { x = f32x4.add(x, p); y = f32x4.add(y, q); z = f32x4.add(z, r); t = f32x4.add(t, s); }
    v128.store(to, i8x16.min_u(i8x16.max_u(toCodes(x, y, z, t, scales, zeros), least), most));
  }
}

/** Sums of two runs of floats. May write three too many. */
export function addFloats(a: usize, b: usize, count: i32, to: usize): void {
  for (let i = 0; i < count; i += 4, a += 16, b += 16, to += 16) v128.store(to, f32x4.add(v128.load(a), v128.load(b)));
}

/** Floats within [low, high]. May write three too many. */
export function clampFloats(from: usize, count: i32, low: f32, high: f32, to: usize): void {
  const least = f32x4.splat(low), most = f32x4.splat(high);
  for (let i = 0; i < count; i += 4, from += 16, to += 16) v128.store(to, f32x4.min(f32x4.max(v128.load(from), least), most));
}

/** The largest code of every window of [height, width, channels]; parts of a window outside do not count. */
export function largest(x: usize, channels: i32, height: i32, width: i32, kernelY: i32, kernelX: i32, strideY: i32, strideX: i32, apartY: i32, apartX: i32, top: i32, left: i32, outY: i32, outX: i32, out: usize): void {
  for (let y = 0; y < outY; y++) {
    for (let column = 0; column < outX; column++) {
      for (let c = 0; c < channels; c += 16) {
        let most = i8x16.splat(0);
        for (let i = 0; i < kernelY; i++) {
          const row = y * strideY - top + i * apartY;
          if (row < 0 || row >= height) continue;
          for (let j = 0; j < kernelX; j++) {
            const at = column * strideX - left + j * apartX;
            if (at >= 0 && at < width) most = i8x16.max_u(most, v128.load(x + <usize>((row * width + at) * channels + c)));
          }
        }
        // What lies behind the last channel is written again by the next position.
        v128.store(out + <usize>c, most);
      }
      out += channels;
    }
  }
}

/**
 * Means of windows of [height, width, channels] as codes: Σ (code − zero) · factor, rounded; factors (f32) belong to windows that
 * count so many elements, beginning with one. Parts outside add nothing, and count where `padding`.
 */
export function average(x: usize, channels: i32, height: i32, width: i32, kernelY: i32, kernelX: i32, strideY: i32, strideX: i32, top: i32, left: i32, outY: i32, outX: i32, padding: bool, zero: i32, factors: usize, zeroOut: i32, low: i32, high: i32, out: usize): void {
  const zeros = i16x8.splat(<i16>zero), moved = i16x8.splat(<i16>zeroOut), least = i8x16.splat(<i8>low), most = i8x16.splat(<i8>high);
  for (let y = 0; y < outY; y++) {
    for (let column = 0; column < outX; column++) {
      const fromY = max(0, y * strideY - top), toY = min(height, y * strideY - top + kernelY);
      const fromX = max(0, column * strideX - left), toX = min(width, column * strideX - left + kernelX);
      const counted = padding ? kernelY * kernelX : (toY - fromY) * (toX - fromX);
      const factor = v128.load32_splat(factors + (<usize>(counted - 1) << 2));
      for (let c = 0; c < channels; c += 8) {
        let first = i32x4.splat(0), second = first;
        for (let i = fromY; i < toY; i++) {
          for (let j = fromX; j < toX; j++) {
            const eight = i16x8.sub(v128.load8x8_u(x + <usize>((i * width + j) * channels + c)), zeros);
            first = i32x4.add(first, i32x4.extend_low_i16x8_s(eight));
            second = i32x4.add(second, i32x4.extend_high_i16x8_s(eight));
          }
        }
        const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(f32x4.convert_i32x4_s(first), factor)));
        const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(f32x4.convert_i32x4_s(second), factor)));
        const words = i16x8.add_sat_s(i16x8.narrow_i32x4_s(a, b), moved);
        v128.store64_lane(out + <usize>c, i8x16.min_u(i8x16.max_u(i8x16.narrow_i16x8_u(words, words), least), most), 0);
      }
      out += channels;
    }
  }
}

/** Means over [positions, channels] floats, positions in their order. May write three too many. */
export function averageFloats(x: usize, channels: i32, positions: i32, out: usize): void {
  const count = f32x4.splat(<f32>positions);
  for (let c: usize = 0; c < <usize>channels; c += 4) {
    let sum = f32x4.splat(0);
    let from = x + (c << 2);
    for (let i = 0; i < positions; i++, from += <usize>channels << 2) sum = f32x4.add(sum, v128.load(from));
    v128.store(out + (c << 2), f32x4.div(sum, count));
  }
}

/** [positions, width] codes through a table of 256, to rows `stride` bytes apart. */
export function translate(from: usize, positions: i32, width: i32, table: usize, to: usize, stride: i32): void {
  for (let i = 0; i < positions; i++, to += stride) {
    for (let j: usize = 0; j < <usize>width; j++) store<u8>(to + j, load<u8>(table + load<u8>(from + j)));
    from += width;
  }
}

/** Rows of `width` bytes to rows `stride` bytes apart. */
export function scatter(from: usize, positions: i32, width: i32, to: usize, stride: i32): void {
  for (let i = 0; i < positions; i++, from += width, to += stride) memory.copy(to, from, width);
}

/** [height, width] cells into the middle of [tall, wide] ones full of `fill`: bytes, or bytes as codes of 16 bits. */
export function surround(from: usize, height: i32, width: i32, channels: i32, top: i32, left: i32, tall: i32, wide: i32, fill: i32, words: bool, to: usize): void {
  const row = width * channels;
  const shift: usize = words ? 1 : 0;
  fillWith(to, tall * wide * channels, fill, words);
  for (let y = 0; y < height; y++, from += row) {
    const at = to + (<usize>(((y + top) * wide + left) * channels) << shift);
    if (!words) {
      memory.copy(at, from, row);
      continue;
    }
    let i: usize = 0;
    for (; i + 8 <= <usize>row; i += 8) v128.store(at + (i << 1), v128.load8x8_u(from + i));
    for (; i < <usize>row; i++) store<u16>(at + (i << 1), load<u8>(from + i));
  }
}

function fillWith(to: usize, count: i32, fill: i32, words: bool): void {
  if (!words) {
    memory.fill(to, <u8>fill, count);
    return;
  }
  const eight = i16x8.splat(<i16>fill);
  for (let i = 0; i < count; i += 8, to += 16) v128.store(to, eight);
}

/** [rows, columns] of 4 bytes each, or of one, the other way round. */
export function turn(from: usize, rows: i32, columns: i32, bytes: bool, to: usize): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const at = <usize>(j * rows + i);
      if (bytes) store<u8>(to + at, load<u8>(from++));
      else { store<u32>(to + (at << 2), load<u32>(from)); from += 4; }
    }
  }
}

/** Elements from the places that a map (i32) names; `fill` where it is negative. */
export function gather(from: usize, map: usize, count: i32, bytes: bool, fill: i32, to: usize): void {
  for (let i = 0; i < count; i++, map += 4) {
    const at = load<i32>(map);
    if (bytes) store<u8>(to++, at < 0 ? <u8>fill : load<u8>(from + at));
    else { store<u32>(to, at < 0 ? 0 : load<u32>(from + (<usize>at << 2))); to += 4; }
  }
}
