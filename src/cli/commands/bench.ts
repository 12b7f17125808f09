import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineErrors } from '../../errors.ts';
import type { CliCommand } from '../command.ts';

const errors = defineErrors('bench', {
  notHere: (_: Record<string, never>) => ['benchmarks come with the repository, not with the package', 'clone the repository and run npm run bench'],
});

export const benchCommand: CliCommand = {
  usage: 'bench [names...]',
  summary: 'kernels and codecs against peers, in one run on this machine',
  example: 'fewbit bench encode',
  options: () => {},
  async run([names]) {
    const main = fileURLToPath(new URL('../../../bench/main.ts', import.meta.url));
    if (!existsSync(main)) throw errors.notHere({});
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...(names as string[])], { stdio: 'inherit' });
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => resolve(code ?? 1));
    });
  },
};
