/** Threads whose script lies beside the file that asks, as TypeScript when that is TypeScript. */
import { Worker } from 'node:worker_threads';

/** Starts `name`, a path relative to `from` (a file's `import.meta.url`) without its extension. */
export function startWorker(name: string, from: string, workerData?: unknown): Worker {
  const typed = from.endsWith('.ts');
  const script = new URL(`${name}${typed ? '.ts' : '.js'}`, from);
  if (!typed || process.features.typescript) return new Worker(script, { workerData });
  // Threads of Node before 22.18 know no TypeScript, and do not inherit the loader that this thread runs under.
  const [loader, entry] = [import.meta.resolve('tsx/esm/api'), script.href].map((url) => JSON.stringify(url));
  return new Worker(`import(${loader}).then(({ register }) => { register(); return import(${entry}); })`, { eval: true, workerData });
}
