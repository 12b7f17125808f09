/** Threads of Node that share the products of one memory. */
import { defineErrors } from '../../errors.ts';
import { startWorker } from '../start-worker-node.ts';
import { fastestBuild, mostMembers } from './lowbit.ts';
import { teamKernels, type Team, type TeamKernels } from './lowbit-team.ts';
import type { Membership, OtherKernels } from './team.ts';

const errors = defineErrors('team', {
  died: (f: { reason: string }) => [`a thread of the low-bit engine ended: ${f.reason}`, 'try again with --threads 1'] as const,
});

/** As many threads as asked for, at most those that a memory has room for: the caller's own and workers of Node. What is opened with it ends them when it is disposed of. */
export const nodeTeam = (threads: number): Team => ({ members: Math.min(threads, mostMembers), start: startTeam });

/** Starts the other members; resolves when all of them wait for work. */
async function startTeam(memory: WebAssembly.Memory, board: number, members: number, also: readonly OtherKernels[] = []): Promise<TeamKernels> {
  const build = fastestBuild();
  const workers = Array.from({ length: members - 1 }, (_, i) => startWorker('./lowbit-worker-node', import.meta.url, { memory, board, index: i + 1, members, build, also } satisfies Membership));
  await Promise.all(workers.map((worker) => new Promise<void>((resolve, reject) => {
    worker.once('message', () => { worker.unref(); resolve(); });
    worker.once('error', (error) => reject(errors.died({ reason: error instanceof Error ? error.message : String(error) })));
    worker.once('exit', (code) => reject(errors.died({ reason: `exit code ${code}` })));
  })));
  return teamKernels({ memory, board, members, build, also });
}
