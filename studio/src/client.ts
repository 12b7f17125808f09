/** The page's side of the worker: calls that answer once, with progress on the way. */
import type { Answer, CallName, Calls, Given, Made, Tell, Trouble } from './protocol.ts';
import type { Run } from './runs.ts';

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
  /** Of the worker's kernels and engines, as it last told. */
  wasmBytes = 0;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  /** What a worker must know that takes the place of one that was ended: the model, and the run whose files the page shows. */
  #given: Given | undefined;
  #run: Run | undefined;

  #start(): Worker {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data.kind === 'memory') {
        this.wasmBytes = data.bytes;
        return;
      }
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

  /** Calls without an answer so far. */
  get calls(): number {
    return this.#waiting.size;
  }

  async call<K extends CallName>(name: K, give: Calls[K]['give'], onProgress?: Tell): Promise<Calls[K]['get']> {
    // The files of the last run make room for those of the next.
    if (name === 'quantize') this.#run = undefined;
    const got = await this.#ask(name, give, onProgress);
    if (name === 'open') [this.#given, this.#run] = [give as Given, undefined];
    if (name === 'quantize') this.#run = (got as Made).run;
    return got;
  }

  #ask<K extends CallName>(name: K, give: Calls[K]['give'], onProgress?: Tell): Promise<Calls[K]['get']> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onProgress });
      this.#worker ??= this.#start();
      this.#worker.postMessage({ id, name, give });
    });
  }

  /** Ends whatever runs. Another worker opens the same model again, in an instant, for only its outline is read. */
  cancel(): void {
    this.#worker?.terminate();
    [this.#worker, this.wasmBytes] = [undefined, 0];
    this.#failAll(new WorkerFailure({ message: 'cancelled' }));
    // Where that fails, the next call says that no model is open.
    if (this.#given !== undefined) void this.#ask('open', this.#given).catch(() => {});
    if (this.#run !== undefined) void this.#ask('hold', { run: this.#run }).catch(() => {});
  }
}
