/** Which layers cost most, as terminal text. */
import type { DiagnoseResult } from '../jobs/diagnose-node.ts';
import { textTable } from './text-table.ts';
import { duration, figure, percent, plural } from './words.ts';

export function diagnosisText(result: DiagnoseResult, width?: number): string {
  const { quantized, against, data, distance, asIs, allBack, layers, unmatched, unread, guilty, few, fix, trials, seconds } = result;
  const unit = distance === 'kl' ? 'mean KL to the float model, nats' : 'noise in the outputs, share of their power';
  const table = textTable(
    [
      { title: '', align: 'left' }, { title: 'layer', align: 'left' }, { title: 'float weight', align: 'left' }, { title: 'operator', align: 'left' },
      { title: 'bits/weight', align: 'right' }, { title: 'weight error', align: 'right' }, { title: 'put back alone', align: 'right' }, { title: 'its input alone', align: 'right' },
    ],
    guilty.map(({ id, site, op, bitsPerWeight, weightError, gain, gainOfInput }) => [
      few.ids.includes(id) ? '*' : '', id, site, op, figure(bitsPerWeight), percent(weightError), signed(-gain), gainOfInput === 0 ? '' : signed(-gainOfInput),
    ]),
    width === undefined ? {} : { width },
  );
  return [
    `quantized    ${quantized}`, `against      ${against}`, `data         ${data.name}, ${plural(data.samples, 'sample')}`,
    `distance     ${figure(asIs)} (${unit}); ${figure(allBack)} with all ${plural(layers, 'layer')} put back`,
    ...(unmatched.length === 0 ? [] : [`not matched  ${plural(unmatched.length, 'layer')} without a partner in the float model, among them ${unmatched[0]}`]),
    ...Object.entries(unread).map(([op, count]) => `not read     ${count} ${op}: fewbit does not know how to take them apart, so they stay as they are`), '',
    ...(guilty.length === 0 ? ['no layer that was read differs from the float model'] : [...table, '']),
    ...(guilty.length === 0 ? [] : few.ids.length === 0 || few.recovered <= 0 ? [allBack < asIs
      ? 'no layer stands out: putting these back brings the outputs no nearer'
      : 'no layer stands out: with all of them put back the outputs are no nearer, so that the loss lies between layers, or layers make up for one another'] : [
      `* ${plural(few.ids.length, 'layer')} of ${layers} put back: ${figure(few.distance)}, ${percent(Math.min(1, few.recovered))} of what all layers recover`,
    ]),
    ...(fix === undefined ? [] : [
      `smallest fix: ${fix.layers.map(({ site, format, bitsPerWeight, floatInput }) => `${site} ${format === 'as it is' ? 'as it is' : `as ${format} (${figure(bitsPerWeight)} bits)`}${floatInput ? ', input float' : ''}`).join('; ')}`,
      `then ${figure(fix.distance)}, for ${figure(fix.extraBits / 8000)} kB more (${percent(fix.growth)} of the layers)`,
    ]),
    `${plural(trials, 'network')} run, ${duration(seconds)}`,
  ].join('\n');
}

const signed = (value: number): string => `${value > 0 ? '+' : ''}${figure(value)}`;
