/** Size against error: every choice of formats that no other beats, single formats beside it, and the point that is chosen. */
import * as Plot from '@observablehq/plot';
import { useCallback, type ReactNode } from 'react';
import { Plotted } from './plot.tsx';
import type { Front } from './protocol.ts';

export function FrontPicture({ front, at }: { readonly front: Front; readonly at: Front['points'][number] }): ReactNode {
  const draw = useCallback((width: number) => Plot.plot({
    width, height: 190, marginLeft: 56, marginRight: 70, style: { background: 'transparent', fontSize: '12px' },
    x: { label: 'bits per weight', grid: true }, y: { label: 'error', type: 'log', grid: true, ticks: 4, tickFormat: (value: number) => value.toPrecision(1) },
    marks: [
      Plot.line(front.points, { x: 'bitsPerWeight', y: 'loss', stroke: 'var(--bar)', strokeWidth: 2 }),
      Plot.dot(front.points, { x: 'bitsPerWeight', y: 'loss', fill: 'var(--bar)', r: 2 }),
      Plot.dot(front.uniform, { x: 'bitsPerWeight', y: 'loss', stroke: 'currentColor', r: 4 }),
      Plot.text(front.uniform, { x: 'bitsPerWeight', y: 'loss', text: 'format', dx: 8, textAnchor: 'start', fill: 'currentColor' }),
      Plot.dot([at], { x: 'bitsPerWeight', y: 'loss', fill: 'var(--accent)', r: 6 }),
    ],
  }), [front, at]);
  return (
    <figure className="front">
      <Plotted draw={draw} label={`${front.points.length} choices between ${front.points[0].bitsPerWeight.toFixed(2)} and ${front.points.at(-1)!.bitsPerWeight.toFixed(2)} bits per weight; ${at.bitsPerWeight.toFixed(2)} is chosen`} />
      <figcaption>Line: the best mixtures; rings: one format for all layers. Error: {front.measure}.</figcaption>
    </figure>
  );
}
