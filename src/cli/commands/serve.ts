import { serve, type ServeRequest } from '../../jobs/serve-node.ts';
import type { CliCommand } from '../command.ts';
import { draftOptions } from '../draft-options.ts';
import { exitCodes } from '../exit.ts';
import { terminalProgress } from '../progress.ts';

export const serveCommand: CliCommand = {
  usage: 'serve <model>',
  summary: 'a local endpoint for clients of chat-completion services, on the low-bit engine',
  example: 'fewbit serve model-Q4_K.gguf --port 8080',
  options(command) {
    command
      .option('--host <address>', 'address to listen on; anything but a loopback address lets other machines in', '127.0.0.1')
      .option('--port <n>', '0 takes any that is free', '8080')
      .option('--context <n>', 'positions to keep memory for (default: as many as the model was made for, at most 4096)')
      .option('--weights <type>', 'load float weights as q4_0, q4_k, q6_k, q8_0, …')
      .option('--cache <format>', 'hold keys and values as float, or those of older tokens as int8, int4 or vidkv (1.5 and 1.58 bits)', 'float')
      .option('--threads <n>', 'threads that multiply', '2');
    draftOptions(command)
      .option('--allow-origin <origin>', 'pages of this origin may read answers; * for all')
      .option('--parallel <n>', 'requests that are answered together, one product per layer for all; each has a cache of its own', '1')
      .option('--max-waiting <n>', 'requests that may wait while others are answered', '16')
      .option('--max-body-bytes <n>', 'of a request', '1000000');
  },
  async run([model], options) {
    const progress = terminalProgress();
    const served = await serve({ ...options, model: model as string } as ServeRequest, { progress, onAnswer: (line) => progress.line(line) });
    process.stdout.write(`${served.model} at ${served.url}/v1 (memory ${(served.memoryBytes / 1e6).toFixed(1)} MB with a cache of ${(served.cacheBytes / 1e6).toFixed(1)} MB)\n`);
    if (!served.loopback) progress.line('other machines can reach this address, and nobody is asked for a password');
    await new Promise<void>((resolve) => {
      // The first ends the running answer in peace, the second at once.
      let asked = 0;
      const stop = (): void => {
        if (++asked === 1) progress.line('stopping: the running answer is finished (once more to cut it off)');
        void served.close({ now: asked > 1 }).then(() => {
          process.off('SIGINT', stop).off('SIGTERM', stop);
          resolve();
        });
      };
      process.on('SIGINT', stop).on('SIGTERM', stop);
    });
    return exitCodes.ok;
  },
};
