/** Every command. Adding one touches its own file and one row here. */
import type { CliCommand } from '../command.ts';
import { benchCommand } from './bench.ts';
import { cacheCommand } from './cache.ts';
import { compareCommand } from './compare.ts';
import { convertCommand } from './convert.ts';
import { demoCommand } from './demo.ts';
import { diagnoseCommand } from './diagnose.ts';
import { evaluateCommand } from './evaluate.ts';
import { finetuneCommand } from './finetune.ts';
import { inspectCommand } from './inspect.ts';
import { quantizeCommand } from './quantize.ts';
import { recipesCommand } from './recipes.ts';
import { reproduceCommand } from './reproduce.ts';
import { runCommand } from './run.ts';
import { serveCommand } from './serve.ts';
import { studioCommand } from './studio.ts';

export const commands: readonly CliCommand[] = [inspectCommand, quantizeCommand, compareCommand, evaluateCommand, diagnoseCommand, runCommand, serveCommand, finetuneCommand, convertCommand, recipesCommand, reproduceCommand, studioCommand, benchCommand, demoCommand, cacheCommand];
