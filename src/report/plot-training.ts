/** The loss of every network of a run while it was trained. */
import * as Plot from '@observablehq/plot';
import type { TrainingCurve } from '../jobs/result.ts';
import { colours, draw, fontPixels, plotFigure, short } from './plot-frame.ts';
import { shorten } from './text-table.ts';
import { figure, plural } from './words.ts';

/** More points than these cannot be told apart: neighbours are averaged. */
const pointsShown = 200;
const strokes = [colours.dot, colours.best] as const;

interface Point { readonly step: number; readonly loss: number }

/** Means over runs of equally many steps, each at its middle. */
export function averaged(losses: readonly number[], most = pointsShown): { readonly points: readonly Point[]; readonly over: number } {
  const over = Math.ceil(losses.length / most);
  const points = Array.from({ length: Math.ceil(losses.length / over) }, (_, i) => {
    const own = losses.slice(i * over, (i + 1) * over);
    return { step: i * over + (own.length + 1) / 2, loss: own.reduce((sum, loss) => sum + loss, 0) / own.length };
  });
  return { points, over };
}

/** Nothing where no network was trained for two steps or more. */
export function trainingFigure(curves: readonly TrainingCurve[]): string {
  const shown = curves.filter(({ losses }) => losses.length > 1).map((curve) => ({ ...curve, ...averaged(curve.losses) }));
  if (shown.length === 0) return '';
  const over = Math.max(...shown.map((curve) => curve.over));
  const steps = Math.max(...shown.map(({ losses }) => losses.length));
  const description = shown.map(({ file, losses, points }) => `${file}: ${figure(points[0].loss)} at the start, ${figure(points.at(-1)!.loss)} after ${plural(losses.length, 'step')}`).join('; ');
  return plotFigure(`Loss on the training data${over > 1 ? `, means over ${over} steps` : ''}. ${description}.`, `Loss while training. ${description}`, (width) => {
    const cells = Math.floor((width - 90) / (fontPixels * 0.6));
    return draw({
      width, height: 240, marginLeft: 46, marginRight: 14, marginTop: 26, marginBottom: 40,
      x: { domain: [0, steps], label: 'step', labelAnchor: 'right', ticks: width < 500 ? 4 : 8, tickFormat: (value: number) => (Number.isInteger(value) ? String(value) : '') },
      y: { label: 'loss', labelArrow: 'none', nice: true, grid: true, ticks: 5, tickFormat: short },
      marks: [
        Plot.frame({ stroke: colours.faint }),
        ...shown.map(({ points }, i) => Plot.line(points, { x: 'step', y: 'loss', stroke: strokes[i % strokes.length], strokeWidth: 1.5 })),
        ...shown.map(({ file }, i) => Plot.text([shorten(file, cells)], {
          text: (name: string) => name, frameAnchor: 'top-right', dx: -8, dy: 8 + i * (fontPixels + 4), fill: strokes[i % strokes.length], stroke: colours.paper, strokeWidth: 4,
        })),
      ],
    });
  });
}
