/** Options that `quantize` and its siblings share, and how what was typed becomes a request. */
import type { Command } from 'commander';
import type { QuantizeRequest } from '../jobs/settings.ts';

/** A list that is given more than once goes on. */
export const joined = (more: string, before: string | undefined): string => (before === undefined ? more : `${before},${more}`);

export function quantizeOptions(command: Command): void {
  command
    .option('-o, --output <folder>', 'folder for the output (default: <model>-fewbit)')
    .option('--to <targets>', 'onnx, gguf, transformers.js, safetensors; several with commas', 'onnx')
    .option('--bits <list>', 'bits per weight, such as 8,4: each target has its format for them')
    .option('--candidates <list>', 'formats that --bits chooses among, layer by layer: names, or plain, trellis, vector; a fraction of bits alone means plain')
    .option('--bops <n>', 'budget of bit operations for a sample, 10⁹: products with the bits of weights times those of inputs; instead of --bits or beside it')
    .option('--latency <ms>', 'budget of milliseconds that the layers take for a sample, each timed here in every format; instead of --bits or beside it')
    .option('--weights <list>', 'formats by name instead, such as int4/g32, q4_k, q4f16')
    .option('--activations <how>', 'float, static, dynamic, or a format such as int8/token for what layers multiply')
    .option('--recipe <name>', 'how weights are rounded; see fewbit recipes')
    .option('--layout <name>', 'of safetensors: compressed-tensors, gptq, awq')
    .option('--keep <patterns>', 'layers left float, by name; * stands for anything; may be given again', joined)
    .option('--layer <name=format>', 'the format of one layer, or of all that a pattern names, whatever the others take; may be given again', joined)
    .option('--imatrix <file>', 'importance matrix of llama.cpp to weigh columns with')
    .option('--save-imatrix <file>', 'keep the importance matrix measured on --data, for llama.cpp and --imatrix; .dat for the older form')
    .option('--allow-fallback', 'let tensors that cannot take the format take the nearest that fits')
    .option('--allow-requantize', 'accept a source that is low-bit already');
  dataOptions(command);
  command
    .option('--no-verdict', 'write the files without judging them')
    .option('--resume', 'go on with what an interrupted run left')
    .option('--overwrite', 'replace files of an earlier run')
    .option('--max-kl <nats>', 'fail (exit code 3) when the mean KL to the float model is larger')
    .option('--min-agreement <share>', 'fail when fewer first choices are equal, 0 to 1')
    .option('--max-drop <metric=x>', 'fail when a metric falls by more, such as top-1=0.5')
    .option('--max-size <size>', 'fail when a file is larger, such as 20MB');
}

export function dataOptions(command: Command): void {
  command
    .option('--data <path>', 'real inputs: text, images, .npy, .npz, .safetensors, .jsonl; divided into calibration and evaluation')
    .option('--labels <path>', 'labels of --data: .npy, idx, or one number a line')
    .option('--eval-data <path>', 'inputs to judge on; --data then only calibrates')
    .option('--eval-labels <path>', 'labels of --eval-data')
    .option('--input <text>', "how images become inputs, such as 'rgb 224 crop, /255, mean=.485/.456/.406, std=.229/.224/.225, nchw'")
    .option('--task <name>', 'classify, lm, upscale, detect:fastestdet, generic (default: from the data)')
    .option('--calibration-samples <n>', 'samples or windows of text that calibrate')
    .option('--evaluation-samples <n>', 'samples or windows of text that judge')
    .option('--seed <n>', 'of everything that is drawn')
    .option('--threads <n>', 'threads that work', '2')
    .option('--json', 'one JSON document on standard output');
}

/** The request behind a command line; keys are those of the settings. */
export function requestOf(model: string, options: Readonly<Record<string, unknown>>): QuantizeRequest {
  const { json: _json, dryRun, output, ...rest } = options;
  return {
    ...rest, model, output: outputFolderOf(model, output),
    ...(dryRun === true ? { dryRun: true } : {}),
  } as QuantizeRequest;
}

/** The folder that was asked for, or one named after the model. */
export const outputFolderOf = (model: string, output: unknown): string =>
  (output as string | undefined) ?? `${model.replace(/[/\\]+$/, '').replace(/^.*[/\\:]/, '').replace(/\.(onnx|gguf|safetensors)$/, '')}-fewbit`;
