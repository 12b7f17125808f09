/**
 * Workers of a page that share the products of one memory; the page must be isolated, or it has no shared memory.
 *
 *     // team-worker.js
 *     import { teamWorker } from 'fewbit/runtime';
 *     teamWorker();
 *     // the page, or a worker of it
 *     const team = workerTeam(4, () => new Worker(new URL('./team-worker.js', import.meta.url), { type: 'module' }));
 *     const model = await openTextModel(language, { team });
 */
import { defineErrors } from '../../errors.ts';
import { fastestBuild, mostMembers } from './lowbit.ts';
import { joinTeam, teamKernels, type Team } from './lowbit-team.ts';
import type { Membership } from './team.ts';

const errors = defineErrors('webTeam', {
  alone: (_: Record<string, never>) => ['threads share memory, which only isolated pages have', 'send the page with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, or open the model without a team where crossOriginIsolated is false'],
});

/** As many threads as asked for, at most those that a memory has room for: the caller's own and workers, which must call `teamWorker`. Throws in a page that is not isolated. */
export function workerTeam(threads: number, worker: () => Worker): Team {
  if ((globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === false) throw errors.alone({});
  return {
    members: Math.min(threads, mostMembers),
    async start(memory, board, members, also = []) {
      const build = fastestBuild();
      const workers = Array.from({ length: members - 1 }, worker);
      await Promise.all(workers.map((one, i) => new Promise<void>((resolve, reject) => {
        one.onmessage = () => resolve();
        one.onerror = (event) => reject(new Error(`a worker of the low-bit engine ended: ${event.message}`));
        one.postMessage({ memory, board, index: i + 1, members, build, also } satisfies Membership);
      })));
      const kernels = await teamKernels({ memory, board, members, build, also });
      return { ...kernels, stop: () => { kernels.stop(); for (const one of workers) one.terminate(); } };
    },
  };
}

/** What a worker of a team calls, and nothing else: from then on it does what the team's first thread asks of it. */
export function teamWorker(): void {
  const scope = globalThis as unknown as { onmessage: ((event: { readonly data: Membership }) => void) | null; postMessage(message: string): void; reportError(error: unknown): void };
  scope.onmessage = ({ data }) => void joinTeam(data, () => scope.postMessage('ready')).catch((error) => scope.reportError(error));
}
