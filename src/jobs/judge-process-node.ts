/**
 * Judging in a process of its own: the verdict has its own memory, reads nothing but the written files and the source,
 * and an engine that dies on a file takes no run with it.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { defineErrors, FewbitError } from '../errors.ts';
import type { JudgeItem, Judged } from './judge-node.ts';
import type { Progress } from './progress.ts';
import type { QuantizeSettings } from './settings.ts';

export interface JudgeRequest { readonly settings: QuantizeSettings; readonly items: readonly JudgeItem[] }

export type JudgeAnswer =
  | { readonly kind: 'phase'; readonly label: string; readonly total?: number }
  | { readonly kind: 'advance'; readonly done: number }
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'end' }
  | { readonly kind: 'judged'; readonly judged: readonly Judged[] }
  | { readonly kind: 'refused'; readonly code: string; readonly facts: Readonly<Record<string, unknown>>; readonly message: string; readonly wayOut?: string }
  | { readonly kind: 'broken'; readonly reason: string };

const errors = defineErrors('judge', {
  died: (f: { code: number | null; signal: string | null; files: string }) => [
    `judging ended without an answer (${f.signal ?? `exit code ${f.code}`}); the files are written: ${f.files}`,
    'an engine may have died on one of them: judge them one by one with fewbit evaluate',
  ] as const,
});

export function judgeInProcess(request: JudgeRequest, progress: Progress): Promise<readonly Judged[]> {
  const typed = import.meta.url.endsWith('.ts');
  const script = fileURLToPath(new URL(`./judge-child-node${typed ? '.ts' : '.js'}`, import.meta.url));
  const child = fork(script, [], { serialization: 'advanced', execArgv: typed ? ['--import', 'tsx'] : [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  return new Promise((resolve, reject) => {
    child.on('message', (answer: JudgeAnswer) => {
      switch (answer.kind) {
        case 'phase': return progress.phase(answer.label, answer.total);
        case 'advance': return progress.advance(answer.done);
        case 'line': return progress.line(answer.text);
        case 'end': return progress.end();
        case 'judged': return resolve(answer.judged);
        case 'refused': return reject(new FewbitError(answer.code, { ...answer.facts }, answer.message, answer.wayOut));
        case 'broken': return reject(new Error(answer.reason));
      }
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => reject(errors.died({ code, signal, files: request.items.map(({ path }) => path).join(', ') })));
    child.send(request);
  });
}
