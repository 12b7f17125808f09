/**
 * Viterbi through a bit-shift trellis as WASM SIMD, four prefixes side by side, one per lane. Every lane takes its 2^k
 * predecessors in the order of the plain search (src/formats/trellis/viterbi.ts) with the same float32 operations.
 *
 * Values of states are ordered as they are read: for four prefixes o and each j the state s = j·2^(L−k) + o, four first
 * weights and, where a state holds two, four second ones.
 */

/** Where the caller's memory begins. */
export function heap(): usize {
  return __heap_base;
}

/** Costs of a pass before and after a step, one per prefix. */
let costs: usize = 0;
let next: usize = 0;

/**
 * One pass over `steps` steps of `sequence`, from and to `prefix` where it is not negative. `scratch` holds two rows of
 * 2^(L−k) costs, then 2 bytes for each prefix of each step: the j it came by. States go to `states`, 2 bytes each.
 */
export function pass(values: usize, sequence: usize, steps: i32, stateBits: i32, stepBits: i32, perState: i32, prefix: i32, scratch: usize, states: usize): void {
  const prefixes = 1 << (stateBits - stepBits);
  costs = scratch;
  next = scratch + (<usize>prefixes << 2);
  const back = next + (<usize>prefixes << 2);
  for (let o = 0; o < prefixes; o++) store<f32>(costs + (<usize>o << 2), prefix < 0 || prefix == o ? 0 : Infinity);
  for (let t = 0; t < steps; t++) {
    const row = back + (<usize>(t * prefixes) << 1);
    if (perState == 2) pairs(values, load<f32>(sequence + (<usize>t << 3)), load<f32>(sequence + (<usize>t << 3), 4), prefixes, stepBits, row);
    else if (stepBits == 1) singlesOfTwo(values, load<f32>(sequence + (<usize>t << 2)), prefixes, row);
    else singles(values, load<f32>(sequence + (<usize>t << 2)), prefixes, stepBits, row);
    const before = costs;
    costs = next;
    next = before;
  }
  let o = prefix;
  if (o < 0) {
    o = 0;
    let least = load<f32>(costs);
    for (let i = 1; i < prefixes; i++) {
      const cost = load<f32>(costs + (<usize>i << 2));
      if (cost < least) { least = cost; o = i; }
    }
  }
  for (let t = steps - 1; t >= 0; t--) {
    const state = o + <i32>load<u16>(back + (<usize>(t * prefixes + o) << 1)) * prefixes;
    store<u16>(states + (<usize>t << 1), <u16>state);
    o = state >> stepBits;
  }
}

/** A step of states with two weights. */
function pairs(values: usize, first: f32, second: f32, prefixes: i32, stepBits: i32, row: usize): void {
  const x = f32x4.splat(first);
  const y = f32x4.splat(second);
  const states = prefixes << stepBits;
  let at = values;
  for (let o = 0; o < prefixes; o += 4) {
    let best = f32x4.splat(Infinity);
    let by = i32x4.splat(0);
    let j = i32x4.splat(0);
    for (let s = o; s < states; s += prefixes) {
      const d = f32x4.sub(v128.load(at), x);
      const e = f32x4.sub(v128.load(at, 16), y);
      const distance = f32x4.add(f32x4.mul(d, d), f32x4.mul(e, e));
      const cost = f32x4.add(v128.load32_splat(costs + (<usize>(s >> stepBits) << 2)), distance);
      by = v128.bitselect(j, by, f32x4.lt(cost, best));
      best = f32x4.pmin(best, cost);
      j = i32x4.add(j, i32x4.splat(1));
      at += 32;
    }
    keep(o, best, by, row);
  }
}

/** A step of states with one weight and at least four successors. */
function singles(values: usize, first: f32, prefixes: i32, stepBits: i32, row: usize): void {
  const x = f32x4.splat(first);
  const states = prefixes << stepBits;
  let at = values;
  for (let o = 0; o < prefixes; o += 4) {
    let best = f32x4.splat(Infinity);
    let by = i32x4.splat(0);
    let j = i32x4.splat(0);
    for (let s = o; s < states; s += prefixes) {
      const d = f32x4.sub(v128.load(at), x);
      const cost = f32x4.add(v128.load32_splat(costs + (<usize>(s >> stepBits) << 2)), f32x4.mul(d, d));
      by = v128.bitselect(j, by, f32x4.lt(cost, best));
      best = f32x4.pmin(best, cost);
      j = i32x4.add(j, i32x4.splat(1));
      at += 16;
    }
    keep(o, best, by, row);
  }
}

/** A step of states with one weight and two successors: four states follow two prefixes. */
function singlesOfTwo(values: usize, first: f32, prefixes: i32, row: usize): void {
  const x = f32x4.splat(first);
  let at = values;
  for (let o = 0; o < prefixes; o += 4) {
    let best = f32x4.splat(Infinity);
    let by = i32x4.splat(0);
    for (let j = 0; j < 2; j++) {
      const d = f32x4.sub(v128.load(at), x);
      const before = v128.load64_zero(costs + (<usize>((o + j * prefixes) >> 1) << 2));
      const cost = f32x4.add(i32x4.shuffle(before, before, 0, 0, 1, 1), f32x4.mul(d, d));
      by = v128.bitselect(i32x4.splat(j), by, f32x4.lt(cost, best));
      best = f32x4.pmin(best, cost);
      at += 16;
    }
    keep(o, best, by, row);
  }
}

// @ts-ignore: decorator
@inline
function keep(o: i32, best: v128, by: v128, row: usize): void {
  v128.store(next + (<usize>o << 2), best);
  v128.store64_lane(row + (<usize>o << 1), i16x8.narrow_i32x4_u(by, by), 0);
}
