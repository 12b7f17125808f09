import { convert, planConvert } from '../../jobs/convert-node.ts';
import type { ConvertRequest } from '../../jobs/convert.ts';
import { convertText } from '../../report/convert-text.ts';
import type { CliCommand } from '../command.ts';
import { printJson } from '../output.ts';
import { terminalProgress } from '../progress.ts';

export const convertCommand: CliCommand = {
  usage: 'convert <model>',
  summary: 'move a model between files without rounding it: Hugging Face folders, GGUF, ONNX; split, merge, decode low-bit weights',
  example: 'fewbit convert model/ --to gguf',
  options(command) {
    command
      .requiredOption('--to <kind>', 'huggingface (a folder of safetensors), gguf, onnx; imatrix for importance matrices (.dat or .gguf)')
      .option('-o, --output <path>', 'file to write, or folder for huggingface (default: named after the model, here)')
      .option('--type <type>', 'f32, f16 or bf16 (default: as stored; low-bit weights become f32 where the target has no type for them)')
      .option('--shard-size <size>', 'cut into several files of at most this size, such as 2GB (default: one GGUF file, safetensors of 5GB)')
      .option('--merge', 'one file, whatever its size')
      .option('--external-data', 'tensors of an ONNX model in a file beside it')
      .option('--no-external-data', 'tensors inside of the ONNX file')
      .option('--overwrite', 'replace files of the same name')
      .option('--threads <n>', 'threads that work', '2')
      .option('--dry-run', 'print the plan and stop')
      .option('--json', 'one JSON document on standard output');
  },
  async run([model], { json, dryRun, ...options }) {
    const request = { ...options, model: model as string } as ConvertRequest;
    const progress = terminalProgress();
    const result = dryRun === true ? await planConvert(request, { progress }) : await convert(request, { progress });
    if (json === true) printJson(result);
    else process.stdout.write(`${convertText(result)}\n`);
  },
};
