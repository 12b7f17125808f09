/** Layer by format: how far rounding moves each weight, darker where more is lost. */
import * as Plot from '@observablehq/plot';
import { useCallback, type ReactNode } from 'react';
import { Plotted } from './plot.tsx';
import type { HeatMap } from './protocol.ts';

export function HeatMapPicture({ map }: { readonly map: HeatMap }): ReactNode {
  const draw = useCallback((width: number) => {
    const cells = map.layers.flatMap((layer, i) => map.formats.map((format, j) => ({ layer, format, sqnr: map.sqnr[i][j] })));
    const longest = Math.max(...map.layers.map(({ length }) => length));
    const narrow = width < 700;
    return Plot.plot({
      width, height: (narrow ? 100 : 70) + map.layers.length * (narrow ? 11 : 14), marginTop: narrow ? 64 : 34, ...(narrow ? { marginLeft: 10, marginRight: 44 } : { marginLeft: Math.min(320, 10 + longest * 6.2) }),
      style: { background: 'transparent', fontSize: '11px' },
      x: { domain: [...map.formats], label: null, axis: 'top', ...(narrow ? { tickRotate: -40 } : {}) }, y: { domain: [...map.layers], label: null, ...(narrow ? { axis: null } : {}) },
      color: { scheme: 'viridis', label: 'signal over error, dB', legend: true, type: 'linear' },
      marks: [Plot.cell(cells.filter(({ sqnr }) => sqnr !== undefined), { x: 'format', y: 'layer', fill: 'sqnr', inset: 0.5, title: ({ layer, format, sqnr }: (typeof cells)[number]) => `${layer} in ${format}: ${sqnr!.toFixed(1)} dB` })],
    });
  }, [map]);
  return <Plotted draw={draw} label={`signal over error of ${map.layers.length} layers in ${map.formats.join(', ')}`} />;
}
