/** The page's side of the worker: calls that answer once, with progress on the way. */
import type { Answer, CallName, Calls, Tell, Trouble } from './protocol.ts';

export class WorkerFailure extends Error {
  readonly trouble: Trouble;
  constructor(trouble: Trouble) {
    super(trouble.message);
    this.trouble = trouble;
  }
}

interface Waiting { resolve(value: never): void; reject(error: Error): void; readonly onProgress: Tell | undefined }

export class StudioWorker {
  /** Started when it is first needed: a page that is only looked at loads no engine. */
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;

  #start(): Worker {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const waiting = this.#waiting.get(data.id);
      if (waiting === undefined) return;
      if (data.kind === 'progress') return waiting.onProgress?.(data.text, data.share, data.left);
      this.#waiting.delete(data.id);
      if (data.kind === 'done') waiting.resolve(data.value as never);
      else waiting.reject(new WorkerFailure(data.trouble));
    };
    worker.onerror = (event) => this.#failAll(new WorkerFailure({ message: `the worker stopped: ${event.message || 'it ran out of memory or could not start'}`, wayOut: 'reload the page; nothing of yours was changed' }));
    return worker;
  }

  #failAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  call<K extends CallName>(name: K, give: Calls[K]['give'], onProgress?: Tell): Promise<Calls[K]['get']> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onProgress });
      this.#worker ??= this.#start();
      this.#worker.postMessage({ id, name, give });
    });
  }

  /** Ends whatever runs; the next call starts with no model open. */
  cancel(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#failAll(new WorkerFailure({ message: 'cancelled' }));
  }
}
