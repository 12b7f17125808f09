/** Plots as SVG text: drawn by Observable Plot on a document of our own, so that no browser is needed. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { escaped, figureHtml } from './markup.ts';

/** Pixels; a plot is drawn once for screens and once for phones, because shrunk letters cannot be read. */
export const plotWidths = { wide: 860, narrow: 340 } as const;
export const fontPixels = 13;

/** Colours of the page; the values for light and dark stand in its style sheet. */
export const colours = { dot: 'var(--dot)', best: 'var(--best)', bar: 'var(--bar)', level: 'var(--level)', faint: 'var(--faint)', paper: 'var(--paper)' } as const;

type Drawn = (SVGSVGElement | HTMLElement) & Plot.Plot;

/** Draws on a fresh document. */
export function draw(options: Plot.PlotOptions): Drawn {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  return Plot.plot({ ...options, document: document as unknown as Document, style: { fontSize: `${fontPixels}px`, overflow: 'visible' } });
}

/** The drawing as text, one picture to those who cannot see it. */
const svgText = (drawn: Drawn, description: string): string =>
  drawn.outerHTML.replace('<svg', () => `<svg role="img" aria-label="${escaped(description)}"`);

/** Both drawings of a plot with its caption; the style sheet shows the one that fits. */
export const plotFigure = (caption: string, description: string, drawAt: (width: number) => Drawn): string => figureHtml(caption, [
  `<div class="screen">${svgText(drawAt(plotWidths.wide), description)}</div>`, `<div class="phone">${svgText(drawAt(plotWidths.narrow), description)}</div>`,
]);

/** 1, 2 and 5 times powers of ten within a range, thinned where the range is wide. */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const steps = decades > 2.5 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 5];
  const stride = Math.max(1, Math.ceil(decades / 7));
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += stride) {
    for (const step of steps) {
      const tick = Number(`${step}e${power}`);
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks;
}

/** A tick without trailing zeros. */
export const short = (value: number): string => (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6) ? value.toExponential().replace('e+', 'e') : String(Number(value.toPrecision(3))));
