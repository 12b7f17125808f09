/** So many at a time, in order of arrival, and not too many waiting. */
import { RequestError } from './errors.ts';

export class Turns {
  readonly #most: number;
  readonly #together: number;
  readonly #queue: { start(): void; refuse(error: Error): void }[] = [];
  #busy = 0;

  /** `most` may wait while `together` run. */
  constructor(most: number, together: number) {
    this.#most = most;
    this.#together = together;
  }

  get waiting(): number { return this.#queue.length; }

  /** Runs when enough earlier ones have ended; not at all, and gives undefined, where the signal comes first. */
  async take<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    if (this.#busy < this.#together) this.#busy++;
    else if (!(await this.#turn(signal))) return undefined;
    try {
      return signal.aborted ? undefined : await run();
    } finally {
      const next = this.#queue.shift();
      // The next one takes the place, so that nobody comes between.
      if (next === undefined) this.#busy--;
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
