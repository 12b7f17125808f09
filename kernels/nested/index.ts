/**
 * Integers of 8 bits read as integers of fewer, sixteen at a time: v becomes (v + half − 1 + odd) >> d, where half is 2^(d−1)
 * and odd the last bit of v >> d, so that ties go to even. The sum saturates at 127, which is what clipping the result does.
 */

/** Where the caller's memory begins. */
export function heap(): usize {
  return __heap_base;
}

/** Rewrites `count` codes, a multiple of 16, in place; `rounds` is 0 for an arithmetic shift. */
export function narrow(codes: usize, count: usize, shift: i32, rounds: i32): void {
  const end = codes + count;
  if (rounds == 0) {
    for (let at = codes; at < end; at += 16) v128.store(at, i8x16.shr_s(v128.load(at), shift));
    return;
  }
  const half: i32 = 1 << (shift - 1);
  const below = i8x16.splat(<i8>(half - 1));
  const one = i8x16.splat(1);
  for (let at = codes; at < end; at += 16) {
    const v = v128.load(at);
    const odd = v128.and(i8x16.shr_s(v, shift), one);
    v128.store(at, i8x16.shr_s(i8x16.add_sat_s(v, i8x16.add(below, odd)), shift));
  }
}
