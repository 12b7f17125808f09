/** Workers of a page that share the products of one memory; the page must be isolated, or it has no shared memory. */
import { fastestBuild, mostMembers, type LowBitKernels } from './lowbit.ts';
import { teamKernels, type Membership } from './lowbit-team.ts';

const own = (): Worker => new Worker(new URL('./lowbit-worker-web.js', import.meta.url), { type: 'module' });

/** Starts the other members, as many as the memory has room for, in workers that run lowbit-worker-web; resolves when all of them wait for work. */
export async function startTeam(memory: WebAssembly.Memory, board: number, asked: number, worker: () => Worker = own): Promise<LowBitKernels & { stop(): void }> {
  const build = fastestBuild();
  const members = Math.min(asked, mostMembers);
  const workers = Array.from({ length: members - 1 }, worker);
  await Promise.all(workers.map((one, i) => new Promise<void>((resolve, reject) => {
    one.onmessage = () => resolve();
    one.onerror = (event) => reject(new Error(`a worker of the low-bit engine ended: ${event.message}`));
    one.postMessage({ memory, board, index: i + 1, members, build } satisfies Membership);
  })));
  const kernels = teamKernels({ memory, board, members, build });
  return { ...kernels, stop: () => { kernels.stop(); for (const one of workers) one.terminate(); } };
}
