import { diagnoseModel, type DiagnoseRequest } from '../../jobs/diagnose-node.ts';
import { diagnosisText } from '../../report/diagnosis-text.ts';
import type { CliCommand } from '../command.ts';
import { printJson } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { dataOptions } from '../quantize-options.ts';

export const diagnoseCommand: CliCommand = {
  usage: 'diagnose <quantized>',
  summary: "which layers of anybody's quantized file cost most, and the fewest bits that would help",
  example: 'fewbit diagnose model-q4.onnx --against model/ --data heldout.txt',
  options(command) {
    command.requiredOption('--against <model>', 'the float model that it was made of');
    dataOptions(command);
  },
  async run([quantized], options) {
    const { json, ...rest } = options;
    const found = await diagnoseModel({ ...rest, quantized } as unknown as DiagnoseRequest, terminalProgress());
    if (json === true) return printJson(found);
    process.stdout.write(`${diagnosisText(found, process.stdout.columns)}\n`);
  },
};
