/** Threads of Node that share the products of one memory. */
import { Worker } from 'node:worker_threads';
import { defineErrors } from '../../errors.ts';
import { fastestBuild, type LowBitKernels } from './lowbit.ts';
import { teamKernels, type Membership } from './lowbit-team.ts';

const errors = defineErrors('team', {
  died: (f: { reason: string }) => [`a thread of the low-bit engine ended: ${f.reason}`, 'try again with --threads 1'] as const,
});

/** The thread's script lies beside this file, as TypeScript when this is TypeScript. */
function startWorker(workerData: Membership): Worker {
  const typed = import.meta.url.endsWith('.ts');
  const script = new URL(`./lowbit-worker-node${typed ? '.ts' : '.js'}`, import.meta.url);
  if (!typed || process.features.typescript) return new Worker(script, { workerData });
  // Threads of Node before 22.18 know no TypeScript, and do not inherit the loader that this thread runs under.
  const [loader, entry] = [import.meta.resolve('tsx/esm/api'), script.href].map((url) => JSON.stringify(url));
  return new Worker(`import(${loader}).then(({ register }) => { register(); return import(${entry}); })`, { eval: true, workerData });
}

/** Starts the other members; resolves when all of them wait for work. */
export async function startTeam(memory: WebAssembly.Memory, board: number, members: number): Promise<LowBitKernels & { stop(): void }> {
  const build = fastestBuild();
  const workers = Array.from({ length: members - 1 }, (_, i) => startWorker({ memory, board, index: i + 1, members, build }));
  await Promise.all(workers.map((worker) => new Promise<void>((resolve, reject) => {
    worker.once('message', () => { worker.unref(); resolve(); });
    worker.once('error', (error) => reject(errors.died({ reason: error instanceof Error ? error.message : String(error) })));
    worker.once('exit', (code) => reject(errors.died({ reason: `exit code ${code}` })));
  })));
  return teamKernels({ memory, board, members, build });
}
