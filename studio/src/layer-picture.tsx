/** The values of one layer as a histogram with the levels of a format on it, and what every format would cost and lose. */
import * as Plot from '@observablehq/plot';
import { useCallback, useState, type ReactNode } from 'react';
import type { TensorView } from '../../src/jobs/tensor-view.ts';
import { Plotted } from './plot.tsx';

export function LayerPicture({ view }: { readonly view: TensorView }): ReactNode {
  const [chosen, setChosen] = useState(view.formats.find(({ refusal }) => refusal === undefined)?.format);
  const format = view.formats.find((one) => one.format === chosen) ?? view.formats[0];
  const draw = useCallback((width: number) => {
    const step = (view.max - view.min) / view.counts.length;
    const bars = view.counts.map((n, i) => ({ left: view.min + i * step, right: view.min + (i + 1) * step, n }));
    return Plot.plot({
      width, height: 208, marginLeft: 52, marginBottom: 38, x: { label: 'value' }, y: { label: 'weights', grid: true, ticks: 4 },
      style: { background: 'transparent', fontSize: '12px' },
      marks: [
        Plot.rectY(bars, { x1: 'left', x2: 'right', y: 'n', fill: 'var(--bar)' }),
        Plot.ruleX(format.levels, { stroke: 'var(--accent)', strokeOpacity: format.levels.length > 40 ? 0.35 : 0.9 }),
        Plot.ruleY([0], { stroke: 'currentColor' }),
      ],
    });
  }, [view, format]);
  return (
    <figure>
      <figcaption><strong>{view.name}</strong> [{view.rows}, {view.cols}], {(100 * view.outliers).toFixed(2)} % of the values lie beyond four standard deviations; lines are the levels of one group in {format.format}</figcaption>
      <Plotted draw={draw} label={`values of ${view.name} and the levels of ${format.format}`} />
      <table>
        <thead><tr><th scope="col">format</th><th scope="col" className="number">bits per weight</th><th scope="col" className="number">signal over error</th></tr></thead>
        <tbody>
          {view.formats.map((one) => (
            <tr key={one.format}>
              <td><label className="check"><input type="radio" name="format" checked={one.format === format.format} disabled={one.refusal !== undefined} onChange={() => setChosen(one.format)} /> {one.format}</label></td>
              <td className="number">{one.bitsPerWeight.toFixed(2)}</td>
              <td className="number">{one.refusal ?? (one.sqnr === undefined ? '' : `${one.sqnr.toFixed(1)} dB`)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}
