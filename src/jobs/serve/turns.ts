/** One at a time, in order of arrival, and not too many waiting. */
import { RequestError } from './errors.ts';

export class Turns {
  readonly #most: number;
  readonly #queue: { start(): void; refuse(error: Error): void }[] = [];
  #busy = false;

  /** `most` may wait. */
  constructor(most: number) { this.#most = most; }

  get waiting(): number { return this.#queue.length; }

  /** Runs when all earlier ones have ended; not at all, and gives undefined, where the signal comes first. */
  async take<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    if (this.#busy && !(await this.#turn(signal))) return undefined;
    this.#busy = true;
    try {
      return signal.aborted ? undefined : await run();
    } finally {
      const next = this.#queue.shift();
      // The next one finds it busy, so that nobody comes between.
      if (next === undefined) this.#busy = false;
      else next.start();
    }
  }

  /** Sends everyone away who waits. */
  clear(reason: Error): void {
    for (const { refuse } of this.#queue.splice(0)) refuse(reason);
  }

  #turn(signal: AbortSignal): Promise<boolean> {
    if (this.#queue.length >= this.#most) throw new RequestError(503, `${this.#most} requests are waiting already`, { code: 'queue_full' });
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#queue.splice(this.#queue.indexOf(entry), 1);
        resolve(false);
      };
      const entry = {
        start: () => { signal.removeEventListener('abort', leave); resolve(true); },
        refuse: (error: Error) => { signal.removeEventListener('abort', leave); reject(error); },
      };
      this.#queue.push(entry);
      if (signal.aborted) leave();
      else signal.addEventListener('abort', leave, { once: true });
    });
  }
}
