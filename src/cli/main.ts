#!/usr/bin/env node
/** The command line. Each command is one file, loaded when it is called. */
import { Command, CommanderError } from 'commander';
import { readFileSync } from 'node:fs';
import { FewbitError } from '../errors.ts';
import { exitCodes } from './exit.ts';
import { commands } from './commands/index.ts';
import { complain } from './output.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };

function printError(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof FewbitError) {
    complain(error);
    return exitCodes.failed;
  }
  // Anything else is a defect of ours: the stack is what a bug report needs.
  process.stderr.write(`fewbit: internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return exitCodes.internal;
}

async function main(): Promise<number> {
  const program = new Command('fewbit')
    .description('Makes trained networks small: quantizes them, writes files that other engines load, and measures what it cost.')
    .version(version)
    .showHelpAfterError('(add --help for the options)')
    .exitOverride();
  let code: number = exitCodes.ok;
  for (const command of commands) {
    const sub = program.command(command.usage).description(command.summary).exitOverride();
    command.options(sub);
    sub.addHelpText('after', `\nExample:\n  ${command.example}\n`);
    sub.action(async (...args: unknown[]) => {
      const positional = args.slice(0, -2);
      const options = args.at(-2) as Record<string, unknown>;
      code = (await command.run(positional, options)) ?? exitCodes.ok;
    });
  }
  await program.parseAsync();
  return code;
}

// As `fewbit recipes | head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.unread);
  throw error;
});

main().then(
  (code) => { process.exitCode = code; },
  (error: unknown) => { process.exitCode = printError(error); },
);
