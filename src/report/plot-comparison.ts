/** Bits against error of every compared file, with the lines of the plain ones. */
import * as Plot from '@observablehq/plot';
import type { ComparedFile, Comparison } from './comparison.ts';
import { placeLabels } from './labels.ts';
import { colours, draw, fontPixels, logTicks, plotFigure, short } from './plot-frame.ts';
import { figure } from './words.ts';

/** Errors below it are drawn there: a logarithm has no place for zero. */
const exactBelow = 1e-9;

const nameOf = ({ output, isPlain }: ComparedFile, low: boolean): string => {
  const weights = output.verdict.format.replace(/, a format per layer$/, '').replace(' bits with ', ' bits, ');
  const what = low ? `${weights} · ${output.activations ?? 'float'}` : weights;
  if (isPlain) return output.recipe === 'scale-search' ? `${what} searched` : what;
  return `${output.recipe} ${what}`;
};

/** The drawing at a width. */
export function drawComparison({ files, lines }: Comparison, width: number): ReturnType<typeof draw> {
  const isKl = files.some(({ output }) => output.verdict.score?.error.kl !== undefined);
  const low = files.some(({ activationBits }) => activationBits < 16);
  const points = files.map((file) => ({ ...file, drawn: Math.max(exactBelow, file.error), text: nameOf(file, low) }));
  const errors = points.map(({ drawn }) => drawn);
  const [least, greatest] = [Math.min(...errors) / 1.6, Math.max(...errors) * 1.6];
  const bits = points.map((point) => point.bits);
  const domain = [Math.min(...bits) - 0.25, Math.max(...bits) + (Math.max(...bits) - Math.min(...bits)) * 0.12 + 0.25];
  const margins = { marginLeft: 62, marginRight: 16, marginTop: 34, marginBottom: 44 };
  const height = Math.round(Math.min(520, width * 0.56 + 90));
  const options: Plot.PlotOptions = {
    width, height, ...margins,
    x: { domain, label: 'bits per weight, everything counted', labelAnchor: 'right', ticks: width < 500 ? 4 : 8, grid: true },
    y: { type: 'log', domain: [least, greatest], label: isKl ? 'mean KL to the float model, nats' : 'noise in the outputs, share of their power', labelAnchor: 'top', labelArrow: 'none', ticks: logTicks(least, greatest), tickFormat: short, grid: true },
  };
  const marks: Plot.Markish[] = [
    Plot.frame({ stroke: colours.faint }),
    ...lines.map(({ front }) => Plot.line(front.map(({ bits: at, error }) => ({ bits: at, drawn: Math.max(exactBelow, error) })), { x: 'bits', y: 'drawn', stroke: colours.dot, strokeWidth: 1.5, strokeDasharray: '5 4' })),
    Plot.dot(points.filter(({ isPlain }) => isPlain), { x: 'bits', y: 'drawn', r: 4.5, stroke: colours.dot, strokeWidth: 2, fill: colours.paper }),
    Plot.dot(points.filter(({ isPlain }) => !isPlain), { x: 'bits', y: 'drawn', r: 5, fill: colours.best }),
  ];
  const scales = draw({ ...options, marks });
  const x = scales.scale('x')!, y = scales.scale('y')!;
  const places = placeLabels(
    points.map(({ bits: at, drawn, text }) => ({ x: x.apply(at), y: y.apply(drawn), text })),
    { left: margins.marginLeft, top: margins.marginTop, right: width - 6, bottom: height - margins.marginBottom }, fontPixels,
  );
  const labels = points.flatMap((point, i): Plot.Markish[] => {
    const { dx, dy, anchor, far } = places[i];
    const text = Plot.text([point], { x: 'bits', y: 'drawn', text: 'text', dx, dy, textAnchor: anchor, fill: 'currentColor', stroke: colours.paper, strokeWidth: 4, fontWeight: point.isPlain ? 'normal' : 'bold' });
    if (!far) return [text];
    return [Plot.link([point], { x1: 'bits', y1: 'drawn', x2: x.invert!(x.apply(point.bits) + dx), y2: y.invert!(y.apply(point.drawn) + dy), stroke: colours.faint }), text];
  });
  return draw({ ...options, marks: [...marks, ...labels] });
}

export function comparisonFigure(comparison: Comparison): string {
  const { files, title } = comparison;
  const description = `${title}: ${files.map((file) => `${file.output.recipe} ${file.output.verdict.format} ${file.bits.toFixed(2)} bits, ${figure(file.error)}`).join('; ')}`;
  return plotFigure(`${title}: bits per weight with scales, branches, copies and codebooks against the error of the written files. Open, joined by the broken line: only rounded to nearest; filled: recipes.`, description, (width) => drawComparison(comparison, width));
}
