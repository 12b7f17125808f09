import { serveStudio } from '../../jobs/studio-node.ts';
import type { CliCommand } from '../command.ts';
import { exitCodes } from '../exit.ts';

export const studioCommand: CliCommand = {
  usage: 'studio',
  summary: 'the same work in a browser: opens a page on this machine, uploads nothing',
  example: 'fewbit studio --port 8080',
  options(command) {
    command
      .option('--port <n>', 'port on this machine; 0 for any', '4174')
      .option('--host <address>', 'address to listen on', '127.0.0.1');
  },
  async run(_positional, { port, host }) {
    const server = await serveStudio({ host: host as string, port: Number(port) });
    process.stdout.write(`fewbit Studio is at ${server.url} (stop with Ctrl+C)\n`);
    await new Promise<void>((resolve) => { process.once('SIGINT', resolve); process.once('SIGTERM', resolve); });
    await server.close();
    return exitCodes.ok;
  },
};
