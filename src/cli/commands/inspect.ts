import { inspect, type Inspection } from '../../jobs/inspect.ts';
import { openInspectables } from '../../jobs/inspect-open-node.ts';
import { inspectionText } from '../../report/inspection-text.ts';
import type { CliCommand } from '../command.ts';
import { printJson } from '../output.ts';
import { terminalProgress } from '../progress.ts';

export const inspectCommand: CliCommand = {
  usage: 'inspect <model>',
  summary: 'what a model file holds: tensors, layers, metadata, and what formats would cost',
  example: "fewbit inspect model.gguf --tensor 'blk.0.*'",
  options(command) {
    command
      .option('--tensor <pattern>', 'only tensors with such a name; * stands for anything')
      .option('--json', 'one JSON document on standard output');
  },
  async run([model], options) {
    const opened = await openInspectables(model as string);
    const progress = terminalProgress();
    const found: Inspection[] = [];
    try {
      for (const each of opened) {
        found.push(await inspect(each, { ...(options.tensor === undefined ? {} : { tensor: options.tensor as string }), onPhase: progress.phase, onAdvance: progress.advance }));
      }
    } finally {
      progress.end();
      await Promise.all(opened.map((each) => each.close()));
    }
    if (options.json === true) return printJson(found.length === 1 ? found[0] : found);
    const width = process.stdout.isTTY ? process.stdout.columns : undefined;
    process.stdout.write(`${found.map((each) => inspectionText(each, { width })).join('\n\n')}\n`);
  },
};
