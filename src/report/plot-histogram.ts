/** The values of a weight, and the levels that its codes can take. */
import * as Plot from '@observablehq/plot';
import type { WeightHistogram } from '../jobs/result.ts';
import { colours, draw, plotFigure, short } from './plot-frame.ts';
import { figure, plural } from './words.ts';

/** More lines than these would hide the bars: they become marks under the axis. */
const linesShown = 20;

export function histogramFigure({ tensor, format, min, max, counts, levels }: WeightHistogram): string {
  if (counts.length === 0 || !(max > min)) return '';
  const step = (max - min) / counts.length;
  const bars = counts.map((count, i) => ({ left: min + i * step, right: min + (i + 1) * step, count }));
  const low = Math.min(min, ...levels), high = Math.max(max, ...levels);
  const pad = (high - low) * 0.02;
  const most = Math.max(...counts);
  const description = `Values of ${tensor} from ${figure(min)} to ${figure(max)}, most of them near ${figure(min + (counts.indexOf(most) + 0.5) * step, 2)}; ${plural(levels.length, 'level')} of ${format}`;
  return plotFigure(`${tensor} as ${format}: values of the weight (bars) and the ${plural(levels.length, 'level')} of one typical group (lines)`, description, (width) => draw({
    width, height: 190, marginLeft: 46, marginRight: 14, marginTop: 26, marginBottom: 42,
    x: { domain: [low - pad, high + pad], label: 'value', labelAnchor: 'right', ticks: width < 500 ? 5 : 9, tickFormat: short },
    y: { label: 'weights', labelArrow: 'none', ticks: 4, domain: [-most * 0.12, most], grid: true, tickFormat: (value: number) => (value < 0 ? '' : short(value)) },
    marks: [
      Plot.rectY(bars, { x1: 'left', x2: 'right', y1: 0, y2: 'count', fill: colours.bar }),
      Plot.ruleX(levels, { y1: -most * 0.1, y2: levels.length > linesShown ? -most * 0.02 : most, stroke: colours.level, strokeWidth: levels.length > linesShown ? 0.8 : 1.2 }),
      Plot.ruleY([0], { stroke: colours.faint }),
    ],
  }));
}
