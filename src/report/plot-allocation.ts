/** Size against loss of every choice of formats that no other beats, with single formats beside it and the choice that was taken. */
import * as Plot from '@observablehq/plot';
import type { Allocation } from '../allocate/allocation.ts';
import type { Output } from '../jobs/result.ts';
import { placeLabels } from './labels.ts';
import { colours, draw, fontPixels, logTicks, plotFigure, short } from './plot-frame.ts';
import { figure } from './words.ts';

/** Losses below it are drawn there: a logarithm has no place for zero. */
const exactBelow = 1e-9;

interface Mark { readonly bits: number; readonly loss: number; readonly text: string }

/** Nothing where formats were not chosen by measurement. */
export function allocationFigure({ file, allocation }: Pick<Output, 'file' | 'allocation'>): string {
  if (allocation === undefined) return '';
  const { budget, bitsPerWeight, measure, counted } = allocation;
  const drawn = (loss: number): number => Math.max(exactBelow, loss);
  const front = allocation.front.map((point) => ({ bits: point.bitsPerWeight, loss: drawn(point.loss) }));
  const single = allocation.uniform.map(({ format, bitsPerWeight: bits, loss }): Mark => ({ bits, loss: drawn(loss), text: format }));
  const taken: Mark = { bits: bitsPerWeight, loss: drawn(allocation.loss), text: `taken, ${bitsPerWeight.toFixed(2)} bits` };
  const all = [...front, ...single, taken];
  const domain = (values: readonly number[], by: number): [number, number] => [Math.min(...values) / by, Math.max(...values) * by];
  const [low, high] = domain(all.map(({ loss }) => loss), 2);
  const bits = domain(all.map((mark) => mark.bits), 1.04);
  const caption = `Choices of a format for every layer of ${file}: bits per weight (${counted}) against the sum over layers of the ${measure}, each layer alone. Line: no other choice is better in both; dots: one format for all layers; ringed: taken for ${budget} bits.`;
  const description = `${taken.text}, loss ${figure(allocation.loss)}${together(allocation)}; one format for all: ${allocation.uniform.map(({ format, bitsPerWeight: at, loss }) => `${format} ${figure(at)} bits, ${figure(loss)}`).join('; ')}`;
  return plotFigure(caption, description, (width) => {
    const margins = { marginLeft: 62, marginRight: 22, marginTop: 34, marginBottom: 44 };
    const options: Plot.PlotOptions = {
      width, height: Math.round(Math.min(360, width * 0.5 + 80)), ...margins,
      x: { domain: bits, label: 'bits per weight', labelAnchor: 'right', ticks: width < 500 ? 4 : 8, grid: true },
      y: { type: 'log', domain: [low, high], label: `summed ${measure}`, labelAnchor: 'top', labelArrow: 'none', ticks: logTicks(low, high), tickFormat: short, grid: true },
    };
    const marks: Plot.Markish[] = [
      Plot.frame({ stroke: colours.faint }),
      Plot.ruleX([budget].filter((at) => at >= bits[0] && at <= bits[1]), { stroke: colours.faint, strokeWidth: 1.5, strokeDasharray: '5 4' }),
      Plot.line(front, { x: 'bits', y: 'loss', curve: 'step-after', stroke: colours.dot, strokeWidth: 1.5 }),
      Plot.dot(single, { x: 'bits', y: 'loss', r: 4.5, stroke: colours.dot, strokeWidth: 2, fill: colours.paper }),
      Plot.dot([taken], { x: 'bits', y: 'loss', r: 4.5, fill: colours.best }),
      Plot.dot([taken], { x: 'bits', y: 'loss', r: 9, stroke: colours.best, strokeWidth: 2.5 }),
    ];
    const scales = draw({ ...options, marks });
    const x = scales.scale('x')!, y = scales.scale('y')!;
    const named = [taken, ...single];
    const places = placeLabels(
      named.map(({ bits: at, loss, text }) => ({ x: x.apply(at), y: y.apply(loss), text })),
      { left: margins.marginLeft, top: margins.marginTop, right: width - 6, bottom: Number(options.height) - margins.marginBottom }, fontPixels,
    );
    const labels = named.map((mark, i) => Plot.text([mark], {
      x: 'bits', y: 'loss', text: 'text', dx: places[i].dx, dy: places[i].dy, textAnchor: places[i].anchor, fill: 'currentColor', stroke: colours.paper, strokeWidth: 4,
      fontWeight: i === 0 ? 'bold' : 'normal',
    }));
    return draw({ ...options, marks: [...marks, ...labels] });
  });
}

const together = ({ measured }: Allocation): string => (measured === undefined ? '' : `, all layers together ${figure(measured)}`);
