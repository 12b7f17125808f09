/** Learning rates of quantization scales at one of many bit-widths (ALRS, arXiv:2502.01199, section 3.2). */

/** Factor of a width `below` bits under the stored one: 10^(−d/2) for even d, 5 · 10^(−(d+1)/2) for odd d. */
export const widthFactor = (below: number): number => (below % 2 === 0 ? 10 ** (-below / 2) : 5 * 10 ** (-(below + 1) / 2));

/**
 * η · (λ − mean over layers of min(max|clip(g, 1)|, 1)) as a factor on λ. As printed it falls below zero where gradients exceed
 * λ, which would climb; here it ends at zero. Without gradients the width alone counts.
 */
export function scaleRateFactor(below: number, rate: number, gradients: readonly Float32Array[]): number {
  let sum = 0;
  for (const gradient of gradients) {
    let largest = 0;
    for (const g of gradient) largest = Math.max(largest, Math.abs(g));
    sum += Math.min(largest, 1);
  }
  return widthFactor(below) * (sum === 0 ? 1 : Math.max(0, 1 - sum / gradients.length / rate));
}
