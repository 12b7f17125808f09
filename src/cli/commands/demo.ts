import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineErrors } from '../../errors.ts';
import { quantize, writeBeside } from '../../jobs/quantize-node.ts';
import type { QuantizeRequest } from '../../jobs/settings.ts';
import { resultText } from '../../report/index.ts';
import type { CliCommand } from '../command.ts';
import { exitCodes } from '../exit.ts';
import { printJson } from '../output.ts';
import { terminalProgress } from '../progress.ts';

const errors = defineErrors('demo', {
  notHere: (f: { folder: string }) => [`${f.folder}: the demonstration's models are not here`, 'they come with the repository, not with the package: clone it and run npm start'] as const,
});

const assets = fileURLToPath(new URL('../../../assets', import.meta.url));
const at = (path: string): string => join(assets, path);

/** Both jobs as a user would write them on the command line. */
const jobs = (output: string): readonly { readonly title: string; readonly request: QuantizeRequest }[] => [
  {
    title: 'A language model: calibrated on the training text, judged on text it never saw',
    request: {
      model: at('host-llama-shakespeare'), to: ['gguf', 'transformers.js'], output: join(output, 'llama'), weights: ['q8_0', 'q4_k', 'q2_k', 'q8', 'q4'],
      data: at('shakespeare/train.txt'), evalData: at('shakespeare/heldout.txt'), calibrationSamples: 32, evaluationSamples: 24, overwrite: true,
    },
  },
  {
    title: 'Keyword spotting: calibrated on 200 recordings, judged on the other 800',
    request: {
      model: at('kws-dscnn/kws-dscnn.onnx'), to: ['onnx'], output: join(output, 'keyword-spotting'), bits: [16, 8, 4],
      data: at('kws-dscnn/inputs.npy'), labels: at('kws-dscnn/labels.npy'), calibrationSamples: 200, evaluationSamples: 800, overwrite: true,
    },
  },
];

export const demoCommand: CliCommand = {
  usage: 'demo',
  summary: 'the main job on two real models that come with the repository',
  example: 'fewbit demo -o out/demo',
  options(command) {
    command.option('-o, --output <folder>', 'folder for the output', 'out/demo').option('--json', 'one JSON document on standard output');
  },
  async run(_positional, options) {
    if (!existsSync(assets)) throw errors.notHere({ folder: assets });
    const output = options.output as string;
    const results = [];
    for (const { title, request } of jobs(output)) {
      process.stderr.write(`\n${title}\n`);
      const result = await quantize(request, { progress: terminalProgress() });
      await writeBeside(result, request.output);
      results.push(result);
      if (options.json !== true) process.stdout.write(`\n${resultText(result)}\n\nreport: ${request.output}/report.html\n`);
    }
    if (options.json === true) printJson(results);
    return exitCodes.ok;
  },
};
