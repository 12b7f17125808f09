import { quantize, writeBeside } from '../../jobs/quantize-node.ts';
import { comparisonText, planText, resultText } from '../../report/index.ts';
import type { CliCommand } from '../command.ts';
import { exitCodes } from '../exit.ts';
import { printJson } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { quantizeOptions, requestOf } from '../quantize-options.ts';

export const compareCommand: CliCommand = {
  usage: 'compare <model>',
  summary: 'several recipes and formats on one model in one run: tables and plots of size against error, recipes beside plain formats',
  example: 'fewbit compare model/ --recipes rtn,gptq --weights int4/g32,int3/g64 --data train.txt',
  options(command) {
    command.requiredOption('--recipes <list>', 'recipes to compare, with commas; one with formats of its own is name:weights or name:weights:activations, such as svdquant:int4/g64:int4/g64');
    quantizeOptions(command);
  },
  async run([model], options) {
    const { recipes, ...rest } = options;
    const request = { ...requestOf(model as string, rest), recipe: recipes as string };
    const progress = terminalProgress();
    const result = await quantize(request, { progress, onPlan: (plan) => process.stderr.write(`${planText(plan)}\n`) });
    await writeBeside(result, request.output);
    if (options.json === true) printJson(result);
    else process.stdout.write(`${resultText(result)}\n\n${comparisonText(result, process.stdout.columns)}\nreport: ${request.output}/report.html\n`);
    return result.gates.length > 0 ? exitCodes.gate : exitCodes.ok;
  },
};
