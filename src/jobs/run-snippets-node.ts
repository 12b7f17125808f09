/**
 * Executes loader snippets as a user would: each in a process of its own that starts in the output folder, with a time
 * limit. The only change to the text is that packages are named by where they lie, as the folder may be anywhere.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Progress } from './progress.ts';
import type { LoaderSnippet } from './result.ts';
import { snippetFor, type Loaded } from './snippets.ts';

/** Seconds that one loader may take. */
const timeLimit = 60;
/** Characters kept of a line that was printed or raised. */
const lineLimit = 200;
/** Bytes of output that are read before a loader is stopped. */
const outputLimit = 2 ** 20;

/** One loader after the other: each has the machine to itself. Those that fail are told as lines of progress. */
export async function runSnippets(outputs: readonly Loaded[], folder: string, progress: Progress): Promise<LoaderSnippet[]> {
  progress.phase('load', outputs.length);
  const snippets: LoaderSnippet[] = [];
  for (const output of outputs) {
    const code = snippetFor(output);
    const outcome = await runSnippet(code, folder);
    if (outcome.reason !== undefined) progress.line(`${output.file}: its loader was not executed: ${outcome.reason}`);
    snippets.push({ language: 'js', code, ...outcome });
    progress.advance(snippets.length);
  }
  progress.end();
  return snippets;
}

/** The same texts where nothing is to be run. */
export const unexecutedSnippets = (outputs: readonly Loaded[]): LoaderSnippet[] =>
  outputs.map((output) => ({ language: 'js', code: snippetFor(output), executed: false, reason: 'the verdict was skipped' }));

/** Runs the text of one ES module; never throws for what the module does. */
export async function runSnippet(code: string, folder: string, limit = timeLimit): Promise<Pick<LoaderSnippet, 'executed' | 'reason' | 'printed'>> {
  let missing: string | undefined;
  const located = code.replaceAll(/(?<=^import .+ from ')(?!node:)[^']+(?=')/gm, (name) => {
    try {
      return import.meta.resolve(name);
    } catch {
      missing ??= name;
      return name;
    }
  });
  if (missing !== undefined) return { executed: false, reason: `package ${missing} is not installed` };
  // In a file: engines start copies of the process, which an --input-type of its own would break.
  const temporary = await mkdtemp(join(tmpdir(), 'fewbit-load-'));
  try {
    const script = join(temporary, 'load.mjs');
    await writeFile(script, located);
    return await new Promise((resolve) => {
      execFile(process.execPath, [script], { cwd: folder, timeout: limit * 1000, killSignal: 'SIGKILL', maxBuffer: outputLimit, windowsHide: true }, (error, stdout, stderr) => {
        const line = firstLine(stdout);
        const printed = line === undefined ? {} : { printed: line };
        if (error === null) resolve({ executed: true, ...printed });
        else if (error.killed === true) resolve({ executed: false, reason: `it did not end within ${limit} s`, ...printed });
        else resolve({ executed: false, reason: `it failed (${raised(stderr) ?? error.signal ?? `exit code ${error.code}`})`, ...printed });
      });
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

const short = (line: string): string => (line.length > lineLimit ? `${line.slice(0, lineLimit)}…` : line);

function firstLine(text: string): string | undefined {
  const line = text.split(/\r?\n/).find((part) => part.trim() !== '')?.trim();
  return line === undefined ? undefined : short(line);
}

/** The message of the error that ended a module, among what engines and Node write around it. */
function raised(stderr: string): string | undefined {
  const line = /^(?:\[?\w*Error\b.*)$/m.exec(stderr)?.[0];
  return line === undefined ? undefined : short(line);
}
