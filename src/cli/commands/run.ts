import { text } from 'node:stream/consumers';
import { defineErrors } from '../../errors.ts';
import { run } from '../../jobs/run-node.ts';
import { runNetwork } from '../../jobs/run-network-node.ts';
import { networkText } from '../../report/network-text.ts';
import type { CliCommand } from '../command.ts';
import { conversation } from '../conversation.ts';
import { draftOptions } from '../draft-options.ts';
import { exitCodes } from '../exit.ts';
import { onScreen, printJson } from '../output.ts';
import { speculationText } from '../../report/speculation-text.ts';
import { terminalProgress } from '../progress.ts';

const errors = defineErrors('runCommand', {
  prompt: (_: Record<string, never>) => ['there is no prompt', 'give one with --prompt or on standard input; on a terminal, fewbit run without --prompt and --json is a conversation'],
});

/** What standard input gives; undefined where it is a terminal. */
async function given(): Promise<string | undefined> {
  if (process.stdin.isTTY) return undefined;
  const prompt = (await text(process.stdin)).replace(/\r?\n$/, '');
  if (prompt === '') throw errors.prompt({});
  return prompt;
}

/** A network that is no language model. */
async function network(model: string, { data, input, samples, names, top, output, threads, json }: Readonly<Record<string, unknown>>): Promise<number> {
  const given = Object.fromEntries(Object.entries({ data, input, samples, names, top, output, threads }).filter(([, value]) => value !== undefined));
  const result = await runNetwork({ ...given, model } as Parameters<typeof runNetwork>[0], terminalProgress());
  if (json === true) printJson(result);
  else process.stdout.write(`${networkText(result)}\n`);
  return exitCodes.ok;
}

export const runCommand: CliCommand = {
  usage: 'run <model>',
  summary: 'write text with a language model, or run another network, on the low-bit engine',
  example: "fewbit run model-Q4_K.gguf --prompt 'Once upon a time' --max-tokens 64",
  options(command) {
    command
      .option('--prompt <text>', 'text to continue, or with --chat a message to answer (default: what standard input gives; on a terminal, a conversation)')
      .option('--chat', "put the prompt into the model's chat template")
      .option('--system <text>', 'said before the message of --chat')
      .option('--max-tokens <n>', 'tokens to write at most', '128')
      .option('--context <n>', 'positions to keep memory for (default: as many as the model was made for, at most 4096)')
      .option('--temperature <t>', '0 always takes the likeliest token', '0')
      .option('--top-k <n>', 'draw from this many of the likeliest tokens; 0 for all')
      .option('--top-p <p>', 'draw from the likeliest tokens that add up to this probability')
      .option('--min-p <p>', 'draw from tokens at least this share as likely as the likeliest')
      .option('--repetition-penalty <x>', 'make tokens that were written before less likely')
      .option('--stop <texts...>', 'texts that end the output')
      .option('--json-schema <file>', 'the output is JSON that is valid under this schema')
      .option('--weights <type>', 'load float weights as q4_0, q4_k, q8_0, nf4, int4/g32, …')
      .option('--cache <format>', 'hold keys and values as float, or those of older tokens as int8, int4 or vidkv (1.5 and 1.58 bits)', 'float')
      .option('--seed <n>', 'of everything that is drawn')
      .option('--threads <n>', 'threads that multiply', '2');
    draftOptions(command)
      .option('--data <path>', 'for other networks: inputs to run, such as images, .npy or .npz')
      .option('--input <text>', "how images become inputs, such as 'rgb 224 crop, /255, nchw'")
      .option('--samples <n>', 'inputs of --data that are run (default: 8)')
      .option('--names <file>', 'names of classes, one a line')
      .option('--top <n>', 'classes that are told (default: 5)')
      .option('-o, --output <folder>', 'folder for the pictures and numbers that come out')
      .option('--json', 'one JSON document on standard output');
  },
  async run([model], options) {
    if (options.data !== undefined) return network(model as string, options);
    const { json, prompt = await given(), ...rest } = options as { json?: boolean; prompt?: string };
    if (prompt === undefined) {
      if (json === true) throw errors.prompt({});
      // A conversation goes by the chat template wherever there is one.
      const { chat: _, ...settings } = rest as { chat?: boolean };
      await conversation({ ...settings, model: model as string });
      return exitCodes.ok;
    }
    const abort = new AbortController();
    const cancel = (): void => abort.abort();
    process.once('SIGINT', cancel);
    const seen = process.stdout.isTTY ? onScreen : (text: string): string => text;
    const result = await run({ ...rest, prompt, model: model as string }, {
      progress: terminalProgress(), signal: abort.signal, ...(json === true ? {} : { onText: (text: string) => { process.stdout.write(seen(text)); } }),
    });
    process.off('SIGINT', cancel);
    if (json === true) printJson(result);
    else {
      process.stdout.write('\n');
      const { speed, bytes, ids, end, speculation } = result;
      process.stderr.write(`${ids.length} tokens (${end}); prompt ${speed.prompt.toFixed(0)} tokens/s, then ${speed.decode.toFixed(0)} tokens/s; weights ${(bytes.model / 1e6).toFixed(1)} MB, memory ${(bytes.memory / 1e6).toFixed(1)} MB with a cache of ${(bytes.cache / 1e6).toFixed(1)} MB\n`);
      if (speculation !== undefined) process.stderr.write(`${speculationText(speculation)}\n`);
    }
    return exitCodes.ok;
  },
};
