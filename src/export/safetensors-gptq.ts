/** GPTQ layout: codes as a bit stream along the input in every column, zero points along the output, f16 scales. */
import type { NumberFormat } from '../formats/format.ts';
import { packing } from '../formats/index.ts';
import { isScaled } from '../formats/scaled.ts';
import type { Layout } from './safetensors.ts';
import { bytesOf, columnPass, granularityOf, halfScales, tensorOut, turned } from './safetensors-pass.ts';

/** Columns that share a scale, as the configuration says it; −1 is the whole row. Undefined where the layout has no word for it. */
export function groupSize(format: NumberFormat): number | undefined {
  const granularity = granularityOf(format);
  if (granularity?.kind === 'group') return granularity.size;
  return granularity?.kind === 'channel' || granularity?.kind === 'tensor' ? -1 : undefined;
}

export const groupsOf = (format: NumberFormat, cols: number): number => {
  const size = groupSize(format)!;
  return size < 0 ? 1 : cols / size;
};

export const isAsymmetric = (format: NumberFormat): boolean => isScaled(format) && format.integer?.asymmetric === true;

/** What GPTQ and AWQ ask of a format and a matrix alike. */
export function refusesColumns(layout: string, known: readonly number[], format: NumberFormat, rows: number, cols: number): string | undefined {
  const size = groupSize(format);
  if (format.family !== 'integer' || !known.includes(format.bits) || size === undefined) return `${layout} holds integers of ${known.join(', ')} bits in groups along the row, not ${format.name}`;
  if (size > 0 && cols % size !== 0) return `${layout} needs an input width divisible by the group of ${size}, got ${cols}`;
  const step = format.bits === 3 ? 32 : 32 / format.bits;
  if (rows % step !== 0) return `${layout} needs an output width divisible by ${step}, got ${rows}`;
  return undefined;
}

/** A regular expression that is one layer's name. */
const exactly = (layer: string): string => `^${layer.replaceAll('.', '\\.')}$`;

export const gptqLayout: Layout = {
  refuses: (format, activations, rows, cols) => {
    if (activations !== 'float') return 'gptq files hold weights only: activations stay float';
    const step = format.bits === 3 ? 32 : 32 / format.bits;
    return refusesColumns('gptq', [2, 3, 4, 8], format, rows, cols) ?? (cols % step === 0 ? undefined : `gptq needs an input width divisible by ${step}, got ${cols}`);
  },
  refusesOwn: (format, own) => (isAsymmetric(format) === isAsymmetric(own) ? undefined : `gptq folders have zero points of one version: beside ${format.name} a layer takes ${isAsymmetric(format) ? 'uint' : 'int'} formats`),
  tensors(name, matrix) {
    const { format, rows, cols } = matrix;
    const { bits } = format;
    const groups = groupsOf(format, cols);
    const width = cols / groups;
    const pass = columnPass(matrix, groups);
    // Version 1 has no zero point 0; symmetric files are in the version that every loader knows.
    const version = isAsymmetric(format) ? 'v2' : 'v1';
    return [
      tensorOut(`${name}.qweight`, 'i32', [(cols * bits) / 32, rows], async () => bytesOf(packing.packGptqWeight(await pass.codes(), rows, cols, bits))),
      tensorOut(`${name}.qzeros`, 'i32', [groups, (rows * bits) / 32], async () => bytesOf(packing.packGptqZeros(await pass.zeros(), rows, groups, bits, version))),
      tensorOut(`${name}.scales`, 'f16', [groups, rows], async () => halfScales(name, turned(await pass.scales(), rows, groups))),
      tensorOut(`${name}.g_idx`, 'i32', [cols], () => bytesOf(Int32Array.from({ length: cols }, (_, k) => Math.floor(k / width)))),
    ];
  },
  config: (format, _activations, left, own) => ({
    quant_method: 'gptq', bits: format.bits, group_size: groupSize(format), desc_act: false, sym: !isAsymmetric(format), true_sequential: true,
    lm_head: false, checkpoint_format: isAsymmetric(format) ? 'gptq_v2' : 'gptq',
    // Patterns of layers, with a minus for those that are not quantized, with a plus for those that are quantized otherwise.
    ...(left.length === 0 && own.size === 0 ? {} : {
      dynamic: Object.fromEntries([
        ...left.map((layer) => [`-:${exactly(layer)}`, {}]),
        ...[...own].map(([layer, one]) => [`+:${exactly(layer)}`, { bits: one.bits, group_size: groupSize(one) }]),
      ]),
    }),
  }),
};
