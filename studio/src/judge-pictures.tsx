/** The judgement as pictures: size against error of every file, the error of each layer, and how often both models choose alike. */
import * as Plot from '@observablehq/plot';
import { useCallback, useMemo, type ReactNode } from 'react';
import { errorOf, recommend, type Verdict } from '../../src/evaluate/verdict.ts';
import { layerErrors } from '../../src/report/layers.ts';
import { outputNames } from '../../src/report/output-names.ts';
import { paretoFront } from '../../src/report/plot-size-error.ts';
import { Plotted } from './plot.tsx';
import type { Judgement, Made, OpenedModel } from './protocol.ts';
import { shippedBytes, size } from './words.ts';

export interface JudgePicturesProps { readonly model: OpenedModel; readonly made: Made; readonly judgement: Judgement }

const style = { background: 'transparent', fontSize: '12px' } as const;
/** A logarithm has no place for files that lose nothing. */
const exactBelow = 1e-9;

export function JudgePictures({ model, made, judgement }: JudgePicturesProps): ReactNode {
  const names = useMemo(() => outputNames(made.outputs), [made]);
  const verdicts = useMemo(() => made.outputs.map(({ file, target, format, bitsPerWeight }): Verdict => ({
    file, target, format, bitsPerWeight, size: shippedBytes(made, file), ...judgement.files.find(({ path }) => path === file)?.verdict ?? { notJudged: 'not judged', latency: [], loads: [] },
  })), [made, judgement]);
  const { reason, choice } = recommend(verdicts, model.bytes);
  const named = verdicts.map((verdict, i) => ({ name: names[i], verdict }));
  const points = named.flatMap(({ name, verdict: { score, size: bytes, file } }) => {
    const error = score === undefined ? undefined : errorOf(score.error);
    return error === undefined || !Number.isFinite(error) ? [] : [{ name, bytes, megabytes: bytes / 1e6, error, drawn: Math.max(exactBelow, error), chosen: file === choice?.file }];
  });
  const agreeing = named.flatMap(({ name, verdict: { score } }) => (score?.error.agreement === undefined ? [] : [{ name, agreement: score.error.agreement }]));
  const measure = verdicts.some(({ score }) => score?.error.kl !== undefined) ? 'mean KL to the float model, nats' : 'noise in the outputs, share of their power';
  return (
    <>
      <p className="verdict"><strong>{reason}.</strong></p>
      <div className="pictures">
        {points.length > 0 && <SizeError points={points} floatBytes={model.bytes} measure={measure} />}
        {agreeing.length > 0 && <Agreement rows={agreeing} />}
        <LayerErrors made={made} names={names} />
      </div>
    </>
  );
}

interface SizePoint { readonly name: string; readonly bytes: number; readonly megabytes: number; readonly error: number; readonly drawn: number; readonly chosen: boolean }

function SizeError({ points, floatBytes, measure }: { readonly points: readonly SizePoint[]; readonly floatBytes: number; readonly measure: string }): ReactNode {
  const draw = useCallback((width: number) => Plot.plot({
    width, height: 240, marginLeft: 56, marginRight: 20, marginTop: 26, marginBottom: 38, style,
    x: { label: 'size, MB', grid: true, domain: [0, 1.08 * Math.max(floatBytes / 1e6, ...points.map(({ megabytes }) => megabytes))], ticks: 5 },
    y: { label: measure, labelArrow: 'none', type: 'log', grid: true, ticks: 4, tickFormat: (value: number) => value.toPrecision(1), domain: [Math.min(...points.map(({ drawn }) => drawn)) / 2, 2 * Math.max(...points.map(({ drawn }) => drawn))] },
    marks: [
      Plot.ruleX([floatBytes / 1e6], { stroke: 'currentColor', strokeOpacity: 0.6, strokeDasharray: '5 4' }),
      Plot.line(paretoFront(points), { x: 'megabytes', y: 'drawn', curve: 'step-after', stroke: 'var(--bar)', strokeWidth: 2 }),
      Plot.dot(points, { x: 'megabytes', y: 'drawn', r: 4.5, fill: 'var(--accent)' }),
      Plot.dot(points.filter(({ chosen }) => chosen), { x: 'megabytes', y: 'drawn', r: 8, stroke: 'var(--accent)', strokeWidth: 2 }),
      Plot.text(points, { x: 'megabytes', y: 'drawn', text: 'name', dx: 9, dy: -9, textAnchor: 'start', fill: 'currentColor' }),
    ],
  }), [points, floatBytes, measure]);
  return (
    <figure>
      <figcaption>Size against error. The dashed line is the float model{points.some(({ chosen }) => chosen) ? '; ringed: recommended' : ''}.</figcaption>
      <Plotted draw={draw} label={`size and error of ${points.length} files: ${points.map(({ name, bytes, error }) => `${name} ${size(bytes)}, ${error.toPrecision(3)}`).join('; ')}`} />
    </figure>
  );
}

function Agreement({ rows }: { readonly rows: readonly { readonly name: string; readonly agreement: number }[] }): ReactNode {
  const draw = useCallback((width: number) => Plot.plot({
    width, height: 60 + 38 * rows.length, marginLeft: 8, marginRight: 20, marginBottom: 38, style,
    x: { label: 'same first choice, %', domain: [0, 100], grid: true, ticks: 5 }, y: { axis: null, domain: rows.map(({ name }) => name) },
    marks: [
      Plot.barX(rows, { x: ({ agreement }: { agreement: number }) => 100 * agreement, y: 'name', fill: 'var(--bar)', insetTop: 19, insetBottom: 3 }),
      Plot.text(rows, { x: 0, y: 'name', text: ({ name, agreement }: { name: string; agreement: number }) => `${name}: ${(100 * agreement).toFixed(1)} %`, textAnchor: 'start', dx: 4, dy: -10, fill: 'currentColor' }),
      Plot.ruleX([0], { stroke: 'currentColor' }),
    ],
  }), [rows]);
  return (
    <figure>
      <figcaption>Agreement: how often a file’s first choice is the float model’s.</figcaption>
      <Plotted draw={draw} label={`agreement with the float model: ${rows.map(({ name, agreement }) => `${name} ${(100 * agreement).toFixed(1)} %`).join('; ')}`} />
    </figure>
  );
}

function LayerErrors({ made, names }: { readonly made: Made; readonly names: readonly string[] }): ReactNode {
  const lines = useMemo(() => made.written.flatMap((written, i) => layerErrors(written).map((error, place) => ({ ...error, place: place + 1, file: names[i] }))), [made, names]);
  const draw = useCallback((width: number) => Plot.plot({
    width, height: 240, marginLeft: 44, marginRight: 20, marginTop: 26, marginBottom: 38, style,
    x: { label: 'layer', ticks: 6, tickFormat: 'd' }, y: { label: 'signal over error, dB', grid: true, ticks: 5 },
    color: { legend: true, domain: names, scheme: 'Observable10' },
    marks: [
      Plot.line(lines, { x: 'place', y: 'sqnr', z: 'file', stroke: 'file', strokeWidth: 1 }),
      Plot.dot(lines, { x: 'place', y: 'sqnr', fill: 'file', r: 2.5 }),
      Plot.tip(lines, Plot.pointer({ x: 'place', y: 'sqnr', title: ({ tensor, sqnr, file }: { tensor: string; sqnr: number; file: string }) => `${tensor}\n${file}: ${sqnr.toFixed(1)} dB`, fill: 'Canvas', stroke: 'var(--bar)' })),
    ],
  }), [lines, names]);
  if (lines.length === 0) return null;
  const worst = names.flatMap((name) => lines.filter(({ file }) => file === name).toSorted((a, b) => a.sqnr - b.sqnr).slice(0, 1));
  return (
    <figure>
      <figcaption>Error of each layer’s weights, more is nearer to float. Noisiest: {worst.map(({ tensor, file, sqnr }) => `${tensor} in ${file} (${sqnr.toFixed(1)} dB)`).join(', ')}.</figcaption>
      <Plotted draw={draw} label={`error of ${lines.length} weights in ${names.length} files`} />
    </figure>
  );
}
