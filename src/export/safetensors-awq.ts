/** AWQ layout, version gemm: eight outputs to a word in the order of its kernels, true zero points, f16 scales. */
import { packing } from '../formats/index.ts';
import type { Layout } from './safetensors.ts';
import { bytesOf, columnPass, halfScales, tensorOut, turned } from './safetensors-pass.ts';
import { groupsOf, groupSize, refusesColumns } from './safetensors-gptq.ts';

export const awqLayout: Layout = {
  refuses: (format, activations, rows, cols) =>
    (activations === 'float' ? refusesColumns('awq', [4], format, rows, cols) : 'awq files hold weights only: activations stay float'),
  refusesOwn: () => 'awq folders have one format for all layers',
  tensors(name, matrix) {
    const { format, rows, cols } = matrix;
    const groups = groupsOf(format, cols);
    const pass = columnPass(matrix, groups);
    return [
      tensorOut(`${name}.qweight`, 'i32', [cols, rows / 8], async () => bytesOf(packing.packAwq(await pass.codes(), rows, cols))),
      tensorOut(`${name}.qzeros`, 'i32', [groups, rows / 8], async () => bytesOf(packing.packAwq(await pass.zeros(), rows, groups))),
      tensorOut(`${name}.scales`, 'f16', [groups, rows], async () => halfScales(name, turned(await pass.scales(), rows, groups))),
    ];
  },
  // Kernels read zero points always; symmetric formats have 8 in all of them.
  config: (format, _activations, left) => ({
    quant_method: 'awq', bits: 4, group_size: groupSize(format), version: 'gemm', zero_point: true, modules_to_not_convert: ['lm_head', ...left],
  }),
};
