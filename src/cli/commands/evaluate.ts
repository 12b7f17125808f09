import { evaluateModel } from '../../jobs/evaluate-node.ts';
import { verdictText } from '../../report/index.ts';
import type { CliCommand } from '../command.ts';
import { exitCodes } from '../exit.ts';
import { printJson } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { dataOptions } from '../quantize-options.ts';

export const evaluateCommand: CliCommand = {
  usage: 'evaluate <models...>',
  summary: 'judge models on real inputs, against a float model where one is given',
  example: 'fewbit evaluate model-Q4_K.gguf --against model/ --data heldout.txt',
  options(command) {
    command.option('--against <model>', 'the float model that they are compared with (default: the first is judged alone)');
    dataOptions(command);
  },
  async run([models], options) {
    const { json, against, ...rest } = options;
    const verdicts = await evaluateModel({ ...rest, models: models as string[], ...(against === undefined ? {} : { against: against as string }) }, terminalProgress());
    if (json === true) printJson(verdicts);
    else process.stdout.write(`${verdictText(verdicts)}\n`);
    return exitCodes.ok;
  },
};
