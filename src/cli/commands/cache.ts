import { cacheFolder, cacheSize, clearCache } from '../../jobs/measurements-node.ts';
import { integer, plural } from '../../report/words.ts';
import type { CliCommand } from '../command.ts';
import { printJson } from '../output.ts';

export const cacheCommand: CliCommand = {
  usage: 'cache',
  summary: 'what earlier runs measured and later runs use again: where it lies, how much it is',
  example: 'fewbit cache --clear',
  options: (command) => {
    command.option('--clear', 'remove it: the next run measures again').option('--json', 'one JSON document on standard output');
  },
  async run(_positional, options) {
    const before = await cacheSize();
    if (options.clear === true) await clearCache();
    const { files, bytes } = options.clear === true ? await cacheSize() : before;
    if (options.json === true) return printJson({ folder: cacheFolder(), files, bytes });
    process.stdout.write(`${cacheFolder()}: ${options.clear === true ? `${plural(before.files - files, 'file')} removed` : `${plural(files, 'file')} of figures, ${integer(bytes)} bytes`}\n`);
  },
};
