/** The arms of a reproduction beside each other in one of its metrics: mean, and the deviation between runs. */
import * as Plot from '@observablehq/plot';
import { useCallback, useState, type ReactNode } from 'react';
import type { Arm } from '../../src/reproductions/reproduction.ts';
import { Plotted } from './plot.tsx';

export function ArmsPicture({ arms, recipe }: { readonly arms: readonly Arm[]; readonly recipe: string }): ReactNode {
  const counts = new Map<string, number>();
  for (const { metrics } of arms) for (const name of Object.keys(metrics)) counts.set(name, (counts.get(name) ?? 0) + 1);
  const metrics = [...counts].filter(([, count]) => count > 1).sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const [metric, setMetric] = useState(metrics[0]);
  const draw = useCallback((width: number) => {
    const points = arms.flatMap(({ name, metrics: own }) => {
      const found = own[metric];
      // Figures that are no numbers lie in the files as words.
      return found === undefined || !Number.isFinite(found.mean) ? [] : [{ name, mean: found.mean, low: found.mean - found.spread, high: found.mean + found.spread }];
    });
    const [least, most] = [Math.min(...points.map(({ mean }) => mean)), Math.max(...points.map(({ mean }) => mean))];
    // Where one arm is far from the others, these would be one dot.
    const wide = least > 0 && most > 30 * least;
    const longest = Math.max(1, ...points.map(({ name }) => name.length));
    return Plot.plot({
      width, height: 46 + points.length * 17, marginLeft: Math.min(width * 0.5, 14 + longest * 6.3), marginRight: 16, style: { background: 'transparent', fontSize: '11px' },
      x: { label: metric, grid: true, ticks: 5, ...(wide ? { type: 'log' as const } : {}) }, y: { domain: points.map(({ name }) => name), label: null, tickFormat: (name: string) => (name.length * 6.3 > width * 0.5 ? `${name.slice(0, Math.floor(width * 0.08))}…` : name) },
      marks: [
        Plot.ruleY(wide ? points.map((point) => ({ ...point, low: Math.max(point.low, least / 2) })) : points, { y: 'name', x1: 'low', x2: 'high', stroke: 'var(--bar)', strokeWidth: 4 }),
        Plot.dot(points, { x: 'mean', y: 'name', fill: 'var(--accent)', r: 3.5, title: ({ name, mean }: (typeof points)[number]) => `${name}: ${mean}` }),
      ],
    });
  }, [arms, metric]);
  if (metric === undefined) return null;
  return (
    <figure>
      <figcaption>
        <label>Measured: <select value={metric} onChange={({ target }) => setMetric(target.value)}>{metrics.map((name) => <option key={name}>{name}</option>)}</select></label>
      </figcaption>
      <Plotted draw={draw} label={`${metric} of the arms of ${recipe}`} />
    </figure>
  );
}
