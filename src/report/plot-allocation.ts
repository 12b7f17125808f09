/** Size, and other budgets that were given, against loss of every choice of formats that no other beats, with single formats beside it and the choice that was taken. */
import * as Plot from '@observablehq/plot';
import { budgetTexts, type Allocation } from '../allocate/allocation.ts';
import type { Output } from '../jobs/result.ts';
import { placeLabels } from './labels.ts';
import { colours, draw, fontPixels, logTicks, plotFigure, short } from './plot-frame.ts';
import { figure } from './words.ts';

/** Losses below it are drawn there: a logarithm has no place for zero. */
const exactBelow = 1e-9;

interface Mark { readonly at: number; readonly loss: number; readonly text: string }

/** What choices are drawn against loss by. */
interface Axis {
  readonly label: string;
  readonly counted: string;
  readonly budget: number;
  readonly budgetText: string;
  readonly taken: Mark;
  readonly front: readonly { readonly at: number; readonly loss: number }[];
  readonly single: readonly Mark[];
}

/** Nothing where formats were not chosen by measurement; a figure for size and one for each other budget that was given. */
export function allocationFigure({ file, allocation }: Pick<Output, 'file' | 'allocation'>): string {
  if (allocation === undefined) return '';
  return axesOf(allocation).map((axis) => figureOf(file, allocation, axis)).join('');
}

function axesOf({ budget, bitsPerWeight, counted, loss, front, uniform, limits = [] }: Allocation): Axis[] {
  const size: Axis = {
    label: 'bits per weight', counted, budget, budgetText: budgetTexts(budget, Object.fromEntries(limits.map(({ name, budget: most }) => [name, most]))).join(' and '), taken: { at: bitsPerWeight, loss, text: `taken, ${bitsPerWeight.toFixed(2)} bits` },
    front: front.map((point) => ({ at: point.bitsPerWeight, loss: point.loss })), single: uniform.map((one) => ({ at: one.bitsPerWeight, loss: one.loss, text: one.format })),
  };
  return [size, ...limits.map(({ name, counted: words, budget: most, reached, front: others }): Axis => ({
    label: name === 'bops' ? '10⁹ bit operations' : 'milliseconds', counted: words, budget: most, budgetText: size.budgetText, taken: { at: reached, loss, text: `taken, ${figure(reached)}` },
    front: others.map((point) => ({ at: point.use, loss: point.loss })), single: uniform.map((one) => ({ at: one[name]!, loss: one.loss, text: one.format })),
  }))];
}

function figureOf(file: string, allocation: Allocation, { label, counted, budget, budgetText, ...axis }: Axis): string {
  const { measure } = allocation;
  const drawn = <T extends { readonly loss: number }>(point: T): T => ({ ...point, loss: Math.max(exactBelow, point.loss) });
  const [front, single, taken] = [axis.front.map(drawn), axis.single.map(drawn), drawn(axis.taken)];
  const all = [...front, ...single, taken];
  const domain = (values: readonly number[], by: number): [number, number] => [Math.min(...values) / by, Math.max(...values) * by];
  const [low, high] = domain(all.map(({ loss }) => loss), 2);
  const across = domain(all.map(({ at }) => at), 1.04);
  const caption = `Choices of a format for every layer of ${file}: ${label} (${counted}) against the sum over layers of the ${measure}, each layer alone. Line: no other choice is better in both; dots: one format for all layers; ringed: taken for ${budgetText}.`;
  const description = `${taken.text}, loss ${figure(allocation.loss)}${together(allocation)}; one format for all: ${axis.single.map(({ text, at, loss }) => `${text} ${figure(at)} ${label === 'bits per weight' ? 'bits' : label}, ${figure(loss)}`).join('; ')}`;
  return plotFigure(caption, description, (width) => {
    const margins = { marginLeft: 62, marginRight: 22, marginTop: 34, marginBottom: 44 };
    const options: Plot.PlotOptions = {
      width, height: Math.round(Math.min(360, width * 0.5 + 80)), ...margins,
      x: { domain: across, label, labelAnchor: 'right', ticks: width < 500 ? 4 : 8, grid: true },
      y: { type: 'log', domain: [low, high], label: `summed ${measure}`, labelAnchor: 'top', labelArrow: 'none', ticks: logTicks(low, high), tickFormat: short, grid: true },
    };
    const marks: Plot.Markish[] = [
      Plot.frame({ stroke: colours.faint }),
      Plot.ruleX([budget].filter((at) => at >= across[0] && at <= across[1]), { stroke: colours.faint, strokeWidth: 1.5, strokeDasharray: '5 4' }),
      Plot.line(front, { x: 'at', y: 'loss', curve: 'step-after', stroke: colours.dot, strokeWidth: 1.5 }),
      Plot.dot(single, { x: 'at', y: 'loss', r: 4.5, stroke: colours.dot, strokeWidth: 2, fill: colours.paper }),
      Plot.dot([taken], { x: 'at', y: 'loss', r: 4.5, fill: colours.best }),
      Plot.dot([taken], { x: 'at', y: 'loss', r: 9, stroke: colours.best, strokeWidth: 2.5 }),
    ];
    const scales = draw({ ...options, marks });
    const x = scales.scale('x')!, y = scales.scale('y')!;
    const named = [taken, ...single];
    const places = placeLabels(
      named.map(({ at, loss, text }) => ({ x: x.apply(at), y: y.apply(loss), text })),
      { left: margins.marginLeft, top: margins.marginTop, right: width - 6, bottom: Number(options.height) - margins.marginBottom }, fontPixels,
    );
    const labels = named.map((mark, i) => Plot.text([mark], {
      x: 'at', y: 'loss', text: 'text', dx: places[i].dx, dy: places[i].dy, textAnchor: places[i].anchor, fill: 'currentColor', stroke: colours.paper, strokeWidth: 4,
      fontWeight: i === 0 ? 'bold' : 'normal',
    }));
    return draw({ ...options, marks: [...marks, ...labels] });
  });
}

const together = ({ measured }: Allocation): string => (measured === undefined ? '' : `, all layers together ${figure(measured)}`);
