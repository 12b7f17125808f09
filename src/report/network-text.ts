/** What a network made of some inputs, as lines. */
import { harmless } from '../errors.ts';
import type { NetworkOutput, NetworkRun } from '../jobs/run-network-node.ts';

const figure = (value: number): string => (Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value));

function outputText(output: NetworkOutput): string {
  const said = output.kind === 'classes'
    ? output.classes.map(({ index, name, probability }) => `${name ?? `class ${index}`} ${(100 * probability).toFixed(1)} %`).join(', ')
    : output.kind === 'numbers' ? `${figure(output.least)} to ${figure(output.most)}, mean ${figure(output.mean)}` : 'a picture';
  return `  ${output.name} [${output.shape.join(', ')}]  ${said}${output.file === undefined ? '' : `  -> ${output.file}`}`;
}

export const networkText = ({ model, engine, reason, samples }: NetworkRun): string => [
  `${model} on ${engine === 'fewbit' ? "fewbit's integer kernels" : `${engine}${reason === undefined ? '' : `: ${reason}`}`}`,
  ...samples.flatMap(({ sample, seconds, outputs }) => [`sample ${sample}  ${(1000 * seconds).toPrecision(3)} ms`, ...outputs.map(outputText)]),
].map(harmless).join('\n');
