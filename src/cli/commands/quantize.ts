import { planQuantize, quantize, writeBeside } from '../../jobs/quantize-node.ts';
import { parseSettings } from '../../jobs/settings.ts';
import { planText, resultText } from '../../report/index.ts';
import type { CliCommand } from '../command.ts';
import { exitCodes } from '../exit.ts';
import { printJson } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { quantizeOptions, requestOf } from '../quantize-options.ts';

export const quantizeCommand: CliCommand = {
  usage: 'quantize <model>',
  summary: 'make small files of a model, and measure what it cost',
  example: 'fewbit quantize model/ --to gguf,transformers.js --bits 8,4 --data train.txt --eval-data heldout.txt',
  options(command) {
    quantizeOptions(command);
    command.option('--dry-run', 'print the plan and stop');
  },
  async run([model], options) {
    const request = requestOf(model as string, options);
    const json = options.json === true;
    const settings = parseSettings(request);
    const progress = terminalProgress();
    if (settings.dryRun) {
      const plan = await planQuantize(request, { progress });
      if (json) printJson(plan);
      else process.stdout.write(`${planText(plan)}\n`);
      return plan.outputs.some(({ refusals }) => refusals.length > 0) ? exitCodes.failed : exitCodes.ok;
    }
    const result = await quantize(request, { progress, onPlan: (plan) => process.stderr.write(`${planText(plan)}\n`) });
    await writeBeside(result, settings.output);
    if (json) printJson(result);
    else process.stdout.write(`${resultText(result)}\n\nreport: ${settings.output}/report.html\n`);
    return result.gates.length > 0 ? exitCodes.gate : exitCodes.ok;
  },
};
