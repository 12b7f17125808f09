/** How much of each weight rounding kept, in the order of the model, with the noisiest named. */
import * as Plot from '@observablehq/plot';
import type { Output } from '../jobs/result.ts';
import { placeLabels } from './labels.ts';
import { layerErrors, worstLayers } from './layers.ts';
import { colours, draw, fontPixels, plotFigure } from './plot-frame.ts';
import { shorten } from './text-table.ts';
import { decibels } from './words.ts';

/** Noisiest layers that are named. */
const named = 3;

/** The range of dB over all outputs, so that their plots can be compared. */
export function sqnrRange(outputs: readonly Output[]): readonly [low: number, high: number] {
  const all = outputs.flatMap((output) => layerErrors(output).map(({ sqnr }) => sqnr));
  return [Math.min(0, ...all), Math.max(10, ...all) * 1.05];
}

/** Nothing for outputs without two weights that lost something. */
export function layersFigure(output: Output, range: readonly [low: number, high: number]): string {
  const errors = layerErrors(output).map((error, at) => ({ ...error, at: at + 1 }));
  if (errors.length < 2) return '';
  const worst = new Set(worstLayers(output, named).map(({ tensor }) => tensor));
  const description = `Signal to noise of ${errors.length} weights; the lowest are ${errors.filter(({ tensor }) => worst.has(tensor)).map(({ tensor, sqnr }) => `${tensor} at ${decibels(sqnr)}`).join(', ')}`;
  return plotFigure('Signal to quantization noise of each weight, in the order of the model; lower is noisier. The noisiest are named.', description, (width) => {
    const height = 220;
    const margins = { marginLeft: 46, marginRight: 14, marginTop: 30, marginBottom: 40 };
    const options: Plot.PlotOptions = {
      width, height, ...margins,
      x: { domain: [0.5, errors.length + 0.5], label: 'weight, in the order of the model', labelAnchor: 'right', ticks: integerTicks(errors.length, width < 500 ? 5 : 10), tickFormat: (value: number) => String(value) },
      y: { domain: [...range], label: 'weight SQNR, dB', labelArrow: 'none', grid: true, ticks: 5 },
    };
    const marks: Plot.Markish[] = [
      Plot.frame({ stroke: colours.faint }),
      Plot.ruleX(errors, { x: 'at', y1: range[0], y2: 'sqnr', stroke: colours.dot, strokeOpacity: 0.35 }),
      Plot.dot(errors, { x: 'at', y: 'sqnr', r: 3, fill: colours.dot }),
      Plot.dot(errors.filter(({ tensor }) => worst.has(tensor)), { x: 'at', y: 'sqnr', r: 5, fill: colours.best, symbol: 'diamond' }),
    ];
    const scales = draw({ ...options, marks });
    const x = scales.scale('x')!, y = scales.scale('y')!;
    const cells = Math.floor((width - 90) / (fontPixels * 0.6));
    const texts = errors.map(({ tensor }) => (worst.has(tensor) ? shorten(tensor, Math.min(cells, 40)) : ''));
    const places = placeLabels(
      errors.map(({ at, sqnr }, i) => ({ x: x.apply(at), y: y.apply(sqnr), text: texts[i] })),
      { left: margins.marginLeft, top: margins.marginTop, right: width - margins.marginRight, bottom: height - margins.marginBottom }, fontPixels,
    );
    const labels = errors.flatMap((point, i): Plot.Markish[] => {
      if (texts[i] === '') return [];
      const { dx, dy, anchor, far } = places[i];
      const text = Plot.text([point], { x: 'at', y: 'sqnr', text: () => texts[i], dx, dy, textAnchor: anchor, fill: 'currentColor', stroke: colours.paper, strokeWidth: 4 });
      if (!far) return [text];
      return [Plot.link([point], { x1: 'at', y1: 'sqnr', x2: x.invert!(x.apply(point.at) + dx), y2: y.invert!(y.apply(point.sqnr) + dy), stroke: 'currentColor', strokeOpacity: 0.6 }), text];
    });
    return draw({ ...options, marks: [...marks, ...labels] });
  });
}

/** 1, the count, and round numbers between. */
function integerTicks(count: number, wanted: number): number[] {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((size) => count / size <= wanted) ?? 5000;
  return Array.from({ length: Math.floor(count / step) }, (_, i) => (i + 1) * step);
}
