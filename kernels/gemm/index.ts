/**
 * The two inner loops of error feedback. Matrices lie in strips and panels so that every load is contiguous.
 *
 * Panel p of a triangular matrix of order 4·m holds columns 4p..4p+3 (of a lower factor: rows 4p..4p+3), four
 * values per inner index k = 0..4p+3, so it begins at element 8·p·(p+1).
 * Strip s of a tile [cols, rows] holds rows 8s..8s+7, eight values per column.
 *
 * Every element is reduced in ascending order of the inner index with separately rounded multiply and add,
 * whatever the blocking: the plain twins in src/engine/kernels/gemm.ts give the same bits.
 */

/** Inner indices per pass: a panel slice of 4 KiB and the strips of a tile stay in cache. */
const slice: i32 = 256;

// @ts-ignore: decorator
@inline
function panelStart(p: i32): usize {
  return <usize>p * <usize>(p + 1) * 8;
}

/** c[0..3][0..3] −= Σ_k a[k][i]·b[k][j] for k in [k0, k1); a, b are panels, c is a column-major 4×4 tile in panel a. */
// @ts-ignore: decorator
@inline
function subtractTile(a: usize, b: usize, c: usize, k0: i32, k1: i32): void {
  let c00 = v128.load(c), c01 = v128.load(c, 16);
  let c10 = v128.load(c, 32), c11 = v128.load(c, 48);
  let c20 = v128.load(c, 64), c21 = v128.load(c, 80);
  let c30 = v128.load(c, 96), c31 = v128.load(c, 112);
  let x = a + (<usize>k0 << 5);
  let y = b + (<usize>k0 << 5);
  const end = a + (<usize>k1 << 5);
  while (x < end) {
    const a0 = v128.load(x), a1 = v128.load(x, 16);
    let s = v128.load_splat<f64>(y);
    c00 = f64x2.sub(c00, f64x2.mul(a0, s));
    c01 = f64x2.sub(c01, f64x2.mul(a1, s));
    s = v128.load_splat<f64>(y, 8);
    c10 = f64x2.sub(c10, f64x2.mul(a0, s));
    c11 = f64x2.sub(c11, f64x2.mul(a1, s));
    s = v128.load_splat<f64>(y, 16);
    c20 = f64x2.sub(c20, f64x2.mul(a0, s));
    c21 = f64x2.sub(c21, f64x2.mul(a1, s));
    s = v128.load_splat<f64>(y, 24);
    c30 = f64x2.sub(c30, f64x2.mul(a0, s));
    c31 = f64x2.sub(c31, f64x2.mul(a1, s));
    x += 32;
    y += 32;
  }
  v128.store(c, c00); v128.store(c, c01, 16);
  v128.store(c, c10, 32); v128.store(c, c11, 48);
  v128.store(c, c20, 64); v128.store(c, c21, 80);
  v128.store(c, c30, 96); v128.store(c, c31, 112);
}

/**
 * Factors the columns of panels [first, last) of a symmetric positive definite matrix in place, those before being
 * factored. `base` holds its lower triangle as float64 panels of rows (the upper corner of each diagonal tile is
 * ignored). Returns −1, or the index of a pivot that is not positive. The caller goes through the panels in short
 * steps, so that the engine can swap in its optimised code in between.
 */
export function cholesky(base: usize, panels: i32, first: i32, last: i32): i32 {
  for (let k = 0; k < first * 4; k += slice) {
    const stop = min(k + slice, first * 4);
    for (let i = first; i < panels; i++) {
      const a = base + (panelStart(i) << 3);
      const end = min(last, i + 1);
      for (let j = first; j < end; j++) subtractTile(a, base + (panelStart(j) << 3), a + (<usize>j << 7), k, stop);
    }
  }
  for (let j = first; j < last; j++) {
    const b = base + (panelStart(j) << 3);
    for (let i = j; i < panels; i++) {
      const a = base + (panelStart(i) << 3);
      subtractTile(a, b, a + (<usize>j << 7), first * 4, j * 4);
    }
    const failed = factorTile(b + (<usize>j << 7));
    if (failed >= 0) return j * 4 + failed;
    for (let i = j + 1; i < panels; i++) solveTile(b + (<usize>j << 7), base + (panelStart(i) << 3) + (<usize>j << 7));
  }
  return -1;
}

/** Cholesky of one 4×4 tile; element (i, j) lies at 4j + i. */
function factorTile(t: usize): i32 {
  for (let j = 0; j < 4; j++) {
    for (let i = j; i < 4; i++) {
      const at = t + (<usize>(j * 4 + i) << 3);
      let s = load<f64>(at);
      for (let k = 0; k < j; k++) s -= load<f64>(t + (<usize>(k * 4 + i) << 3)) * load<f64>(t + (<usize>(k * 4 + j) << 3));
      if (i == j) {
        if (!(s > 0 && s < Infinity)) return j;
        store<f64>(at, sqrt(s));
      } else {
        store<f64>(at, s / load<f64>(t + (<usize>(j * 5) << 3)));
      }
    }
  }
  return -1;
}

/** c ← c·d⁻ᵀ for a factored diagonal tile d. */
function solveTile(d: usize, c: usize): void {
  for (let j = 0; j < 4; j++) {
    const pivot = v128.load_splat<f64>(d + (<usize>(j * 5) << 3));
    const at = c + (<usize>j << 5);
    let lo = v128.load(at), hi = v128.load(at, 16);
    for (let k = 0; k < j; k++) {
      const s = v128.load_splat<f64>(d + (<usize>(k * 4 + j) << 3));
      const from = c + (<usize>k << 5);
      lo = f64x2.sub(lo, f64x2.mul(v128.load(from), s));
      hi = f64x2.sub(hi, f64x2.mul(v128.load(from, 16), s));
    }
    v128.store(at, f64x2.div(lo, pivot));
    v128.store(at, f64x2.div(hi, pivot), 16);
  }
}

/**
 * w[·][k] += Σ_j e[·][j]·u[j][k] for the columns of panels [p0, p1) and j in [j0, j1), float32.
 * `w` and `e` are tiles of `strips` strips of `cols` columns, `u` the panels of a unit upper matrix.
 */
export function feedback(w: usize, e: usize, u: usize, cols: i32, strips: i32, p0: i32, p1: i32, j0: i32, j1: i32): void {
  const stride = <usize>cols << 5;
  for (let j = j0; j < j1; j += slice) {
    const stop = min(j + slice, j1);
    for (let p = p0; p < p1; p++) {
      const panel = u + (panelStart(p) << 2);
      for (let s = 0; s < strips; s++) {
        const at = <usize>s * stride;
        addTile(e + at, panel, w + at + (<usize>p << 7), j, stop);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function addTile(e: usize, u: usize, w: usize, j0: i32, j1: i32): void {
  let c00 = v128.load(w), c01 = v128.load(w, 16);
  let c10 = v128.load(w, 32), c11 = v128.load(w, 48);
  let c20 = v128.load(w, 64), c21 = v128.load(w, 80);
  let c30 = v128.load(w, 96), c31 = v128.load(w, 112);
  let x = e + (<usize>j0 << 5);
  let y = u + (<usize>j0 << 4);
  const end = e + (<usize>j1 << 5);
  while (x < end) {
    const e0 = v128.load(x), e1 = v128.load(x, 16);
    let s = v128.load_splat<f32>(y);
    c00 = f32x4.add(c00, f32x4.mul(e0, s));
    c01 = f32x4.add(c01, f32x4.mul(e1, s));
    s = v128.load_splat<f32>(y, 4);
    c10 = f32x4.add(c10, f32x4.mul(e0, s));
    c11 = f32x4.add(c11, f32x4.mul(e1, s));
    s = v128.load_splat<f32>(y, 8);
    c20 = f32x4.add(c20, f32x4.mul(e0, s));
    c21 = f32x4.add(c21, f32x4.mul(e1, s));
    s = v128.load_splat<f32>(y, 12);
    c30 = f32x4.add(c30, f32x4.mul(e0, s));
    c31 = f32x4.add(c31, f32x4.mul(e1, s));
    x += 32;
    y += 16;
  }
  v128.store(w, c00); v128.store(w, c01, 16);
  v128.store(w, c10, 32); v128.store(w, c11, 48);
  v128.store(w, c20, 64); v128.store(w, c21, 80);
  v128.store(w, c30, 96); v128.store(w, c31, 112);
}
