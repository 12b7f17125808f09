/** Size against error of every judged output, with the front of those that no other beats on both. */
import * as Plot from '@observablehq/plot';
import { errorOf } from '../evaluate/verdict.ts';
import type { QuantizeResult } from '../jobs/result.ts';
import { outputNames } from './output-names.ts';
import { placeLabels, type Box } from './labels.ts';
import { colours, draw, fontPixels, logTicks, plotFigure, short } from './plot-frame.ts';
import { figure, megabytes } from './words.ts';

export interface SizeError {
  readonly name: string;
  readonly bytes: number;
  /** Mean KL, or the share of noise in the outputs. */
  readonly error: number;
}

/** Outputs that were judged. */
export function sizeErrors({ outputs }: Pick<QuantizeResult, 'outputs'>): SizeError[] {
  const names = outputNames(outputs);
  return outputs.flatMap(({ verdict: { score, size } }, i) => {
    const error = score === undefined ? undefined : errorOf(score.error);
    return error === undefined || !Number.isFinite(error) ? [] : [{ name: names[i], bytes: size, error }];
  });
}

/** The points that no other beats in both, by rising size. */
export function paretoFront<P extends Pick<SizeError, 'bytes' | 'error'>>(points: readonly P[]): P[] {
  let least = Infinity;
  return [...points].sort((a, b) => a.bytes - b.bytes || a.error - b.error).filter(({ error }) => {
    if (error >= least) return false;
    least = error;
    return true;
  });
}

/** Errors below it are drawn there: a logarithm has no place for zero. */
const exactBelow = 1e-9;

export function sizeErrorFigure(result: QuantizeResult): string {
  const points = sizeErrors(result).map((point) => ({ ...point, megabytes: point.bytes / 1e6, drawn: Math.max(exactBelow, point.error) }));
  if (points.length === 0) return '';
  const front = paretoFront(points);
  const isKl = result.outputs.some(({ verdict }) => verdict.score?.error.kl !== undefined);
  const measure = isKl ? 'mean KL to the float model, nats' : 'noise in the outputs, share of their power';
  const best = result.outputs.findIndex(({ verdict }) => verdict.file === result.recommendation.choice?.file);
  const chosen = best < 0 ? undefined : outputNames(result.outputs)[best];
  const description = `${points.length} files by size and error: ${points.map(({ name, bytes, error }) => `${name} ${megabytes(bytes)} MB, ${figure(error)}`).join('; ')}`;
  const floatMegabytes = result.model.bytes / 1e6;
  const drawnErrors = points.map(({ drawn }) => drawn);
  const low = Math.min(...drawnErrors) / 2;
  const high = Math.max(...drawnErrors) * 2;
  const largest = Math.max(floatMegabytes, ...points.map((point) => point.megabytes));
  const smallest = Math.min(...points.map((point) => point.megabytes));
  // Files of very different sizes would crowd at one side of a linear axis.
  const wideRange = largest / smallest > 12;

  return plotFigure(
    `Size and error of every file, error on a logarithmic axis. Filled and joined: no other file is both smaller and nearer to float. The dashed line is the size of the float weights.${chosen === undefined ? '' : ' Ringed: recommended.'}`,
    description,
    (width) => {
      const height = Math.round(Math.min(420, width * 0.62 + 90));
      const margins = { marginLeft: 62, marginRight: 22, marginTop: 34, marginBottom: 44 };
      const options: Plot.PlotOptions = {
        width, height, ...margins,
        x: {
          label: wideRange ? 'size, MB (logarithmic)' : 'size, MB', labelAnchor: 'right', domain: wideRange ? [smallest / 1.25, largest * 1.25] : [0, largest * 1.06], type: wideRange ? 'log' : 'linear',
          ticks: wideRange ? logTicks(smallest / 1.25, largest * 1.25) : width < 500 ? 4 : 7, tickFormat: short, grid: true,
        },
        y: { type: 'log', domain: [low, high], label: measure, labelAnchor: 'top', labelArrow: 'none', ticks: logTicks(low, high), tickFormat: short, grid: true },
      };
      const marks: Plot.Markish[] = [
        Plot.frame({ stroke: colours.faint }),
        Plot.ruleX([floatMegabytes], { stroke: colours.faint, strokeWidth: 1.5, strokeDasharray: '5 4' }),
        Plot.line(front, { x: 'megabytes', y: 'drawn', curve: 'step-after', stroke: colours.dot, strokeWidth: 1.5 }),
        Plot.dot(points, { x: 'megabytes', y: 'drawn', r: 4.5, stroke: colours.dot, strokeWidth: 2, fill: colours.paper }),
        Plot.dot(front, { x: 'megabytes', y: 'drawn', r: 4.5, stroke: colours.dot, strokeWidth: 2, fill: colours.dot }),
        Plot.dot(points.filter(({ name }) => name === chosen), { x: 'megabytes', y: 'drawn', r: 9, stroke: colours.best, strokeWidth: 2.5 }),
      ];
      // A first drawing gives the scales that labels are placed by.
      const scales = draw({ ...options, marks });
      const x = scales.scale('x')!, y = scales.scale('y')!;
      const labelled = points.map((point) => ({ ...point, text: point.name }));
      const places = placeLabels(
        labelled.map(({ megabytes: at, drawn, text }) => ({ x: x.apply(at), y: y.apply(drawn), text })),
        { left: margins.marginLeft, top: margins.marginTop, right: width - 6, bottom: height - margins.marginBottom }, fontPixels,
        steps(front.map(({ megabytes: at, drawn }) => [x.apply(at), y.apply(drawn)])),
      );
      const labels = labelled.flatMap((point, i): Plot.Markish[] => {
        const { dx, dy, anchor, far } = places[i];
        const text = Plot.text([point], {
          x: 'megabytes', y: 'drawn', text: 'text', dx, dy, textAnchor: anchor, fill: 'currentColor', stroke: colours.paper, strokeWidth: 4,
          fontWeight: point.name === chosen ? 'bold' : 'normal',
        });
        if (!far) return [text];
        const end = { x: x.invert!(x.apply(point.megabytes) + dx), y: y.invert!(y.apply(point.drawn) + dy) };
        return [Plot.link([point], { x1: 'megabytes', y1: 'drawn', x2: end.x, y2: end.y, stroke: colours.faint }), text];
      });
      return draw({ ...options, marks: [...marks, ...labels] });
    },
  );
}

/** The line through the front as boxes: across to the next point, then down to it. */
const steps = (corners: readonly (readonly [x: number, y: number])[]): Box[] => corners.slice(1).flatMap(([x, y], i) => {
  const [x0, y0] = corners[i];
  return [{ left: x0, right: x, top: y0 - 1, bottom: y0 + 1 }, { left: x - 1, right: x + 1, top: y0, bottom: y }];
});
