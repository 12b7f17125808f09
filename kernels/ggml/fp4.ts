/** MXFP4 and NVFP4. Midpoints times a scale are exact, so that the codes are those of the plain codec. */

/** The largest magnitude of n vectors. */
// @ts-ignore: decorator
@inline
function amaxOf(x: usize, n: i32): f32 {
  let a = f32x4.splat(0);
  for (let p: usize = 0; p < <usize>n << 4; p += 16) a = f32x4.pmax(a, f32x4.abs(v128.load(x + p)));
  a = f32x4.pmax(a, i32x4.shuffle(a, a, 2, 3, 0, 1));
  a = f32x4.pmax(a, i32x4.shuffle(a, a, 1, 0, 3, 2));
  return f32x4.extract_lane(a, 0);
}

/** −1 where a lies above the midpoint. */
// @ts-ignore: decorator
@inline
function above(a: v128, midpoint: f32, scale: f32): v128 {
  return f32x4.gt(a, f32x4.splat(midpoint * scale));
}

/** Four codes: the number of midpoints below the magnitude, plus 8 for negative values that are not zero. */
// @ts-ignore: decorator
@inline
function code(x: v128, scale: f32): v128 {
  const a = f32x4.abs(x);
  const lowest = above(a, 0.5, scale);
  let n = i32x4.add(lowest, above(a, 1.5, scale));
  let m = i32x4.add(above(a, 2.5, scale), above(a, 3.5, scale));
  n = i32x4.add(n, i32x4.add(above(a, 5, scale), above(a, 7, scale)));
  m = i32x4.add(m, above(a, 10, scale));
  const sign = v128.and(v128.and(f32x4.lt(x, f32x4.splat(0)), lowest), i32x4.splat(8));
  return i32x4.sub(sign, i32x4.add(n, m));
}

// @ts-ignore: decorator
@inline
function codes16(x: usize, scale: f32): v128 {
  return i8x16.narrow_i16x8_s(
    i16x8.narrow_i32x4_s(code(v128.load(x), scale), code(v128.load(x, 16), scale)),
    i16x8.narrow_i32x4_s(code(v128.load(x, 32), scale), code(v128.load(x, 48), scale)),
  );
}

export function mxfp4(x: usize, blocks: i32, _a: usize, to: usize): void {
  for (let b = 0; b < blocks; b++, x += 128, to += 17) {
    const e = max<i32>(0, (reinterpret<u32>(amaxOf(x, 8)) >>> 23) - 2);
    // 2^(e − 128); below exponent 2 the pattern is that of a subnormal.
    const scale = reinterpret<f32>(e >= 2 ? (e - 1) << 23 : 0x200000 << e);
    store<u8>(to, <u8>e);
    v128.store(to, v128.or(codes16(x, scale), i16x8.shl(codes16(x + 64, scale), 4)), 1);
  }
}

/** The UE4M3 pattern of the plain codec. */
function toUe4m3(v: f32): u32 {
  if (!(v > 0)) return 0;
  const bits = reinterpret<u32>(v);
  const exponent = <i32>(bits >>> 23) - 120;
  if (exponent <= 0) return min<u32>(7, <u32>(v * 512 + <f32>0.5));
  if (exponent >= 15) return 0x7e;
  const rounded = (exponent << 3) + ((bits >>> 20) & 7) + ((bits >>> 19) & 1);
  return rounded >= 0x78 ? 0x7e : rounded;
}

/** Half the value of a UE4M3 pattern. */
function ue4m3Half(x: u32): f32 {
  const exponent = x >>> 3;
  const mantissa = <f32>(x & 7);
  if (exponent == 0) return mantissa * reinterpret<f32>(0x3a800000);
  return (8 + mantissa) * reinterpret<f32>((exponent + 116) << 23);
}

export function nvfp4(x: usize, blocks: i32, _a: usize, to: usize): void {
  for (let b = 0; b < blocks; b++, to += 36) {
    for (let s: usize = 0; s < 4; s++, x += 64) {
      const pattern = toUe4m3(amaxOf(x, 4) / 6);
      store<u8>(to + s, <u8>pattern);
      let packed: u64 = 0;
      if (pattern != 0) {
        const codes = codes16(x, ue4m3Half(pattern));
        packed = i64x2.extract_lane(codes, 0) | (i64x2.extract_lane(codes, 1) << 4);
      }
      store<u64>(to + 4 + (s << 3), packed);
    }
  }
}
