/** Block scales under importance: the plain `positiveScale` (src/formats/ggml/search.ts) for 8 or 16 values. */
import { round1 } from './lanes';

/** Codes 0 … top of n non-negative values under weights; returns their scale. */
export function positiveScale(values: usize, n: i32, top: f32, weights: usize, codes: usize): f32 {
  const bytes = <usize>n << 2;
  let max: f32 = 0;
  for (let p: usize = 0; p < bytes; p += 4) {
    const v = load<f32>(values + p);
    if (v > max) max = v;
  }
  if (max < <f32>1e-15) {
    memory.fill(codes, 0, n);
    return 0;
  }
  let inverse: f32 = top / max;
  let best: f32 = 0;
  for (let t = -5; t <= 4; t++) {
    if (t == 0) continue;
    const tried: f32 = t == -5 ? inverse : (<f32>0.1 * <f32>t + top) / max;
    const scale: f32 = <f32>1 / tried;
    let error: f32 = 0;
    for (let p: usize = 0; p < bytes; p += 4) {
      const v = load<f32>(values + p);
      const diff: f32 = v - scale * round1(tried * v, 0, top);
      error += load<f32>(weights + p) * diff * diff;
    }
    if (t == -5) best = error;
    else if (error < best) {
      best = error;
      inverse = tried;
    }
  }
  let sumlx: f32 = 0;
  let suml2: f32 = 0;
  for (let i = 0; i < n; i++) {
    const v = load<f32>(values + (i << 2));
    const w = load<f32>(weights + (i << 2));
    const l = round1(inverse * v, 0, top);
    store<u8>(codes + i, <u8>l);
    sumlx += w * v * l;
    suml2 += w * l * l;
  }
  for (let sweep = 0; sweep < 5; sweep++) {
    let changed = false;
    for (let i = 0; i < n; i++) {
      const v = load<f32>(values + (i << 2));
      const w = load<f32>(weights + (i << 2));
      const l = <f32>load<u8>(codes + i);
      let slx: f32 = sumlx - w * v * l;
      let sl2: f32 = suml2 - w * l * l;
      if (!(slx > 0 && sl2 > 0)) continue;
      const next = round1((v * sl2) / slx, 0, top);
      if (next == l) continue;
      slx += w * v * next;
      sl2 += w * next * next;
      if (slx * slx * suml2 > sumlx * sumlx * sl2) {
        store<u8>(codes + i, <u8>next);
        sumlx = slx;
        suml2 = sl2;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return suml2 > 0 ? sumlx / suml2 : 0;
}
