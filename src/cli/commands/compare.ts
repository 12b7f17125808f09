import { quantize, writeBeside } from '../../jobs/quantize-node.ts';
import { planText, resultText } from '../../report/index.ts';
import type { CliCommand } from '../command.ts';
import { exitCodes } from '../exit.ts';
import { printJson } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { quantizeOptions, requestOf } from '../quantize-options.ts';

export const compareCommand: CliCommand = {
  usage: 'compare <model>',
  summary: 'several recipes and formats on one model in one run: one table, one plot of size against error',
  example: 'fewbit compare model/ --recipes rtn,gptq,awq --weights int4/g32,int3/g64 --data train.txt',
  options(command) {
    command.requiredOption('--recipes <list>', 'recipes to compare, with commas');
    quantizeOptions(command);
  },
  async run([model], options) {
    const { recipes, ...rest } = options;
    const request = { ...requestOf(model as string, rest), recipe: recipes as string };
    const progress = terminalProgress();
    const result = await quantize(request, { progress, onPlan: (plan) => process.stderr.write(`${planText(plan)}\n`) });
    await writeBeside(result, request.output);
    if (options.json === true) printJson(result);
    else process.stdout.write(`${resultText(result)}\n\nreport: ${request.output}/report.html\n`);
    return result.gates.length > 0 ? exitCodes.gate : exitCodes.ok;
  },
};
