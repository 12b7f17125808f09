/** A pool of worker threads. With one thread the work stays in the calling thread. */
import type { Worker } from 'node:worker_threads';
import { startWorker } from '../engine/start-worker-node.ts';
import { defineErrors, FewbitError } from '../errors.ts';
import type { EncodeJob, EncodeResult } from './encode-tile.ts';
import { inlinePool } from './pool.ts';
import type { Pool } from './pool.ts';

/** What a worker answers: a result, or an error as facts. */
export type Answer =
  | { readonly result: EncodeResult }
  | { readonly error: { readonly code: string; readonly facts: Record<string, unknown>; readonly message: string; readonly wayOut: string | undefined } };

const errors = defineErrors('pool', {
  threads: (f: { threads: number }) => `threads: ${f.threads} is not a whole number from 1 to 256`,
  died: (f: { reason: string }) => [`an encoding thread ended: ${f.reason}`, 'try again with one thread'] as const,
  closed: (f: { threads: number }) => `the pool of ${f.threads} encoding threads is closed`,
});

interface Task {
  readonly job: EncodeJob;
  resolve(result: EncodeResult): void;
  reject(error: Error): void;
}

/** Starts as many threads; a thread that cannot start or dies rejects its jobs and all later ones. */
export function poolNode(threads: number): Pool {
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= 256)) throw errors.threads({ threads });
  if (threads === 1) return inlinePool();
  const waiting: Task[] = [];
  const running = new Map<Worker, Task>();
  const idle: Worker[] = [];
  let failure: Error | undefined;

  const fail = (error: Error): void => {
    failure ??= error;
    for (const task of [...running.values(), ...waiting.splice(0)]) task.reject(failure);
    running.clear();
  };
  const start = (): void => {
    while (idle.length > 0 && waiting.length > 0) {
      const worker = idle.shift()!;
      const task = waiting.shift()!;
      running.set(worker, task);
      // Only a running job keeps the process alive.
      worker.ref();
      const { bytes } = task.job;
      const whole = bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
      const job = whole ? task.job : { ...task.job, bytes: bytes.slice() };
      worker.postMessage(job, [job.bytes.buffer as ArrayBuffer]);
    }
  };
  const workers = Array.from({ length: threads }, () => {
    const worker = startWorker('./encode-worker-node', import.meta.url);
    worker.on('message', (answer: Answer) => {
      const task = running.get(worker);
      running.delete(worker);
      idle.push(worker);
      worker.unref();
      if ('result' in answer) task?.resolve(answer.result);
      else {
        const { code, facts, message, wayOut } = answer.error;
        task?.reject(new FewbitError(code, facts, message, wayOut));
      }
      start();
    });
    worker.on('error', (error: unknown) => fail(errors.died({ reason: error instanceof Error ? error.message : String(error) })));
    worker.on('exit', (code) => fail(errors.died({ reason: `exit code ${code}` })));
    worker.unref();
    idle.push(worker);
    return worker;
  });

  return {
    threads,
    encode: (job) => new Promise((resolve, reject) => {
      if (failure) return reject(failure);
      waiting.push({ job, resolve, reject });
      start();
    }),
    async close() {
      fail(errors.closed({ threads }));
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
