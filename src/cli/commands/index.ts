/** Every command. Adding one touches its own file and one row here. */
import type { CliCommand } from '../command.ts';
import { benchCommand } from './bench.ts';
import { recipesCommand } from './recipes.ts';

export const commands: readonly CliCommand[] = [recipesCommand, benchCommand];
