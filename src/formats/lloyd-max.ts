/** Scalar codebooks of least squared error for a standard normal (Lloyd 1982, Max 1960), one scale per row from its root mean square. */
import { inverseNormal } from '../numeric/random.ts';
import { normalCdf, normalDensity } from '../numeric/normal-distribution.ts';
import { rowScales, rowScaleType } from './gaussian-scale.ts';
import { tableGrid } from './grid.ts';
import { checkInput, type ScaledFormat } from './scaled.ts';
import { symmetricFormat } from './symmetric.ts';

const maxIterations = 4000;
const tolerance = 1e-9;

/** The 2^bits levels, ascending: each the mean of its cell, cells bounded by midpoints. */
export function lloydMaxLevels(bits: number): Float64Array {
  const count = 2 ** bits;
  // Levels as dense as the cube root of the density: quantiles of a normal of three times the variance.
  let levels = Float64Array.from({ length: count }, (_, k) => Math.sqrt(3) * inverseNormal((k + 0.5) / count));
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    const bound = (k: number) => (k === 0 ? -Infinity : k === count ? Infinity : (levels[k - 1] + levels[k]) / 2);
    const density = (x: number) => (Number.isFinite(x) ? normalDensity(x) : 0);
    const next = levels.map((_, k) => (density(bound(k)) - density(bound(k + 1))) / (normalCdf(bound(k + 1)) - normalCdf(bound(k))));
    const moved = next.reduce((most, x, k) => Math.max(most, Math.abs(x - levels[k])), 0);
    levels = next.map((x, k) => (x - next[count - 1 - k]) / 2);
    if (moved < tolerance) break;
  }
  return levels;
}

export function lloydMaxFormat(bits: number): ScaledFormat {
  const granularity = { kind: 'channel' } as const;
  const name = `lloydmax${bits}/channel`;
  const plain = symmetricFormat({ name, family: 'codebook', grid: tableGrid(bits, [...lloydMaxLevels(bits)]), granularity, scaleType: rowScaleType });
  const fit: ScaledFormat['fit'] = (values, rows, cols, options) => {
    checkInput(values, rows, cols, options);
    return { scales: rowScales(values, rows, cols), scaleShape: [rows, 1] };
  };
  return {
    ...plain, fit, symmetric: undefined,
    encode: (values, rows, cols, options) => plain.encodeWith(values, rows, cols, fit(values, rows, cols, options), options),
  };
}
