import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { defineErrors } from '../../errors.ts';
import { version } from '../../jobs/version-node.ts';
import { reproductionText } from '../../report/reproduction-text.ts';
import { reproductions } from '../../reproductions/registry.ts';
import { reproduce } from '../../reproductions/reproduction.ts';
import type { CliCommand } from '../command.ts';
import { exitCodes } from '../exit.ts';
import { printJson } from '../output.ts';
import { storeResult } from '../reproduction-results.ts';

const errors = defineErrors('reproduce', {
  unknown: (f: { name: string; known: string }) => [`no reproduction is named ${f.name}`, `known: ${f.known}`],
});

export const reproduceCommand: CliCommand = {
  usage: 'reproduce [recipe]',
  summary: "run a paper's claim at small scale; exit code 0 only if every check holds, 3 if its data is missing",
  example: 'fewbit reproduce zeroq --assets ../shared/assets',
  options(command) {
    command
      .option('--assets <folder>', 'folder with the models and data (or the variable FEWBIT_ASSETS)', process.env.FEWBIT_ASSETS)
      .option('--full', 'the protocol of the paper, as far as the models here allow, however long it takes')
      .option('--store <folder>', 'keep the result as JSON, such as in assets/reproductions, where fewbit recipes NAME shows it')
      .option('--seeds <n>', 'runs of what is random', '3')
      .option('--threads <n>', 'threads that work', '2')
      .option('--json', 'one JSON document on standard output');
  },
  async run([name], options) {
    if (name === undefined) {
      if (options.json === true) return printJson(reproductions.map(({ run: _run, ...entry }) => entry));
      process.stdout.write(`${reproductions.map(({ recipe, experiment, minutes }) => `${recipe.padEnd(22)} ${experiment} (about ${minutes} min)`).join('\n')}\n`);
      return exitCodes.ok;
    }
    const found = reproductions.find(({ recipe }) => recipe === name);
    if (found === undefined) throw errors.unknown({ name: String(name), known: reproductions.map(({ recipe }) => recipe).join(', ') });
    const assets = options.assets as string | undefined;
    const missing = found.data.filter((path) => assets === undefined || !existsSync(join(assets, path)));
    if (missing.length > 0) {
      process.stderr.write(`fewbit: not run: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not in ${assets ?? 'any folder given'}\n  give the folder with --assets; docs/reproductions.md says where the data comes from\n`);
      return exitCodes.gate;
    }
    const report = await reproduce(found, {
      asset: (path) => join(assets!, path), threads: Number(options.threads), full: options.full === true, page: false,
      seeds: Array.from({ length: Number(options.seeds) }, (_, i) => i), say: (line) => process.stderr.write(`${line}\n`),
    });
    const result = { ...report, environment: { fewbit: version, node: process.version, platform: `${process.platform} ${process.arch}`, cpu: cpus()[0]?.model ?? 'unknown' } };
    if (options.store !== undefined) process.stderr.write(`kept in ${await storeResult(result, options.store as string)}\n`);
    if (options.json === true) printJson(result);
    else process.stdout.write(`${reproductionText(report, process.stdout.columns)}\n`);
    return report.checks.every(({ holds }) => holds) ? exitCodes.ok : exitCodes.failed;
  },
};
