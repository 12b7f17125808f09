/** The measured effects of several methods beside each other. */
import * as Plot from '@observablehq/plot';
import { useCallback, type ReactNode } from 'react';
import { effectText } from '../../src/recipes/catalogue-effects.ts';
import { measuredEffect } from './measured.ts';
import { Plotted } from './plot.tsx';

export function EffectsPicture({ names }: { readonly names: readonly string[] }): ReactNode {
  const draw = useCallback((width: number) => {
    const bars = names.flatMap((name) => {
      const effect = measuredEffect(name);
      return effect === undefined ? [] : [{ name, percent: 100 * effect.share, text: `${name}: ${effectText(effect)}` }];
    }).toSorted((a, b) => b.percent - a.percent);
    return Plot.plot({
      width, height: 46 + bars.length * 18, marginLeft: 140, marginRight: 16, style: { background: 'transparent', fontSize: '11px' },
      x: { label: 'share of the plain way’s loss, or time, that is taken back, %', grid: true, ticks: 5 }, y: { domain: bars.map(({ name }) => name), label: null },
      marks: [Plot.barX(bars, { x: 'percent', y: 'name', fill: 'var(--bar)', title: 'text' }), Plot.ruleX([0], { stroke: 'var(--soft)' })],
    });
  }, [names]);
  const measured = names.filter((name) => measuredEffect(name) !== undefined);
  if (measured.length < 2) return <p className="hint">fewer than two of them were measured</p>;
  return (
    <figure>
      <Plotted draw={draw} label={`measured effects: ${measured.map((name) => `${name} ${Math.round(100 * measuredEffect(name)!.share)} %`).join(', ')}`} />
      <figcaption className="hint">Networks, data and bits differ: every bar compares two arms of one experiment, which its entry names.</figcaption>
    </figure>
  );
}
