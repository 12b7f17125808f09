/** Who encodes tiles: threads where there are any, or the calling thread. The bytes are the same. */
import { encodeTile } from './encode-tile.ts';
import type { EncodeJob, EncodeResult } from './encode-tile.ts';

export interface Pool {
  readonly threads: number;
  /** Encodes one tile; jobs begin in the order given. `job.bytes` belongs to the pool from now on and may become empty. */
  encode(job: EncodeJob): Promise<EncodeResult>;
  /** Ends the threads; jobs that still run are given up. */
  close(): Promise<void>;
}

/** A pool of the calling thread alone, for the browser and for small work. */
export function inlinePool(): Pool {
  return {
    threads: 1,
    encode: async (job) => encodeTile(job),
    close: async () => {},
  };
}
