import { finetune } from '../../jobs/finetune-node.ts';
import { writeBeside } from '../../jobs/quantize-node.ts';
import type { FinetuneRequest } from '../../jobs/finetune-settings.ts';
import { resultText } from '../../report/index.ts';
import type { CliCommand } from '../command.ts';
import { exitCodes } from '../exit.ts';
import { printJson } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { joined, outputFolderOf } from '../quantize-options.ts';

export const finetuneCommand: CliCommand = {
  usage: 'finetune <model>',
  summary: 'train a model for its low-bit form on your data, and judge the file',
  example: 'fewbit finetune resnet20.onnx --data train.npz --eval-data test.npz --weights int3/channel --activations int3/tensor --augment flip,shift=4',
  options(command) {
    command
      .option('-o, --output <folder>', 'folder for the output (default: <model>-fewbit)')
      .requiredOption('--data <path>', 'inputs and labels to learn from; half of them judge where --eval-data is not given')
      .option('--labels <path>', 'labels of --data: .npy, idx, or one number a line')
      .option('--eval-data <path>', 'inputs to judge on, never trained on')
      .option('--eval-labels <path>', 'labels of --eval-data')
      .option('--input <text>', 'how images become inputs')
      .option('--task <name>', 'classify or lm (default: from the data)')
      .option('--evaluation-samples <n>', 'samples that judge')
      .option('--recipe <name>', 'lsq: step sizes learn; quest-llm: rotation, a grid fitted to each row and token (1 to 8 bits); qlora, lq-lora: adapters beside rounded matrices; double-rounding: one network at many widths', 'lsq')
      .option('--weights <format>', 'int1 to int8 per channel, or float (default: int4/channel); for qlora and lq-lora any format (default: nf4/b64@bf16+nested8x256)')
      .option('--activations <format>', 'int2 to int8 per tensor, or float (default: int8/tensor, of qlora and lq-lora float)')
      .option('--widths <list>', 'bits of weights and inputs that double-rounding learns at once (default: 8,6,4,2)')
      .option('--edge-bits <n>', 'bits of the first and last layer', '8')
      .option('--keep <patterns>', 'layers left float, by name; * stands for anything; may be given again', joined)
      .option('--epochs <n>', 'times the data is seen', '4')
      .option('--steps <n>', 'updates instead of epochs')
      .option('--batch <n>', 'samples per update (default: 64, of text 8 windows)')
      .option('--rate <x>', 'learning rate (default: 0.001, for all weights of a language model 0.0003)')
      .option('--optimizer <name>', 'sgd, adam, adamw', 'adamw')
      .option('--schedule <name>', 'cosine, linear, constant', 'cosine')
      .option('--warmup <steps>', 'updates during which the rate rises')
      .option('--decay <x>', 'weight decay of matrices')
      .option('--clip-norm <x>', 'largest joint norm of the gradients')
      .option('--distill <share>', "share of the float model's answers in the loss, 0 to 1")
      .option('--temperature <x>', 'of distillation')
      .option('--augment <how>', 'random views of images, such as flip,shift=4')
      .option('--lora <rank>', 'train low-rank adapters only, and merge them; qlora and lq-lora keep them (default there: 8)')
      .option('--lora-alpha <x>', 'scale of the adapters is alpha / rank')
      .option('--checkpoint-every <steps>', 'updates between checkpoints (default: an epoch, at most 200)')
      .option('--control', 'train the float model by the same schedule too, for comparison')
      .option('--seed <n>', 'of everything that is drawn')
      .option('--threads <n>', 'threads that work', '2')
      .option('--resume', 'go on from the checkpoint of an interrupted run')
      .option('--overwrite', 'replace files of an earlier run')
      .option('--no-verdict', 'write the files without judging them')
      .option('--json', 'one JSON document on standard output');
  },
  async run([model], options) {
    const { json, output, ...rest } = options;
    const request = { ...rest, model: model as string, output: outputFolderOf(model as string, output) } as unknown as FinetuneRequest;
    const result = await finetune(request, { progress: terminalProgress() });
    await writeBeside(result, request.output);
    if (json === true) printJson(result);
    else process.stdout.write(`${resultText(result)}\n\nreport: ${request.output}/report.html\n`);
    return exitCodes.ok;
  },
};
