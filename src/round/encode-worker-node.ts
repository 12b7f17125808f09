/** The thread of `poolNode`: one tile in, one answer out. */
import { parentPort } from 'node:worker_threads';
import { FewbitError } from '../errors.ts';
import { encodeTile } from './encode-tile.ts';
import type { EncodeJob } from './encode-tile.ts';
import type { Answer } from './pool-node.ts';

parentPort!.on('message', (job: EncodeJob) => {
  try {
    const result = encodeTile(job);
    parentPort!.postMessage({ result } satisfies Answer, [result.bytes.buffer]);
  } catch (error) {
    const { code, facts, message, wayOut } = error instanceof FewbitError
      ? error
      : { code: 'pool.failed', facts: {}, message: error instanceof Error ? error.message : String(error), wayOut: undefined };
    parentPort!.postMessage({ error: { code, facts, message, wayOut } } satisfies Answer);
  }
});
