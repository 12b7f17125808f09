/** How near one signal is to another. Infinite where they are equal. */

/** 10·log10(Σ reference² / Σ (other − reference)²), in dB. */
export function sqnr(reference: ArrayLike<number>, other: ArrayLike<number>): number {
  let signal = 0;
  let noise = 0;
  for (let i = 0; i < reference.length; i++) {
    signal += reference[i] * reference[i];
    noise += (other[i] - reference[i]) ** 2;
  }
  return ratioInDecibels(signal, noise);
}

export function ratioInDecibels(signal: number, noise: number): number {
  if (noise === 0) return Infinity;
  return signal === 0 ? -Infinity : 10 * Math.log10(signal / noise);
}

/** Cosine of the angle between two vectors; 1 for two zero vectors, 0 for one. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  if (aa === 0 && bb === 0) return 1;
  return aa === 0 || bb === 0 ? 0 : dot / Math.sqrt(aa * bb);
}
