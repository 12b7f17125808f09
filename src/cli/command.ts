/** One command: how it is called, what it does, and the function behind it. */
import type { Command as Commander } from 'commander';

export interface CliCommand {
  /** Name and positional arguments, as in `quantize <model>`. */
  readonly usage: string;
  readonly summary: string;
  /** A command line that works. */
  readonly example: string;
  options(command: Commander): void;
  /** Runs; returns an exit code, 0 when nothing is returned. */
  run(positional: readonly unknown[], options: Readonly<Record<string, unknown>>): Promise<number | void>;
}
