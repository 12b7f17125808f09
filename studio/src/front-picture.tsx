/** Size against error: every choice of formats that no other beats, single formats beside it, and the point that is chosen. */
import * as Plot from '@observablehq/plot';
import { useCallback, type ReactNode } from 'react';
import { Plotted } from './plot.tsx';
import type { Front } from './protocol.ts';

/** Of single formats with about as many bits. */
const isBest = ({ bitsPerWeight, loss }: Front['uniform'][number], { uniform }: Front): boolean => uniform.every((other) => Math.abs(other.bitsPerWeight - bitsPerWeight) > 0.2 || other.loss >= loss);

export function FrontPicture({ front, at }: { readonly front: Front; readonly at: Front['points'][number] }): ReactNode {
  const draw = useCallback((width: number) => Plot.plot({
    width, height: 200, marginLeft: 56, marginRight: 70, marginBottom: 38, style: { background: 'transparent', fontSize: '12px' },
    x: { label: 'bits per weight', labelOffset: 34, grid: true }, y: { label: 'error', type: 'log', grid: true, ticks: 4, tickFormat: (value: number) => value.toPrecision(1) },
    marks: [
      Plot.line(front.points, { x: 'bitsPerWeight', y: 'loss', stroke: 'var(--bar)', strokeWidth: 2 }),
      Plot.dot(front.points, { x: 'bitsPerWeight', y: 'loss', fill: 'var(--bar)', r: 2 }),
      Plot.dot(front.uniform, { x: 'bitsPerWeight', y: 'loss', stroke: 'currentColor', r: 4 }),
      // Formats of one width lie upon each other: the names of the worse go above.
      ...[true, false].map((best) => Plot.text(front.uniform.filter((one) => isBest(one, front) === best), { x: 'bitsPerWeight', y: 'loss', text: 'format', dx: 4, dy: best ? 10 : -9, textAnchor: 'start', fill: 'currentColor', ...(best ? {} : { fillOpacity: 0.65 }) })),
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
