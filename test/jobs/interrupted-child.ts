/** Carries out a request and dies by SIGKILL in the middle of a write, once so many bytes went to partial files. */
import { open, type FileHandle } from 'node:fs/promises';
import { quantize } from '../../src/jobs/quantize-node.ts';
import type { QuantizeRequest } from '../../src/jobs/settings.ts';

const [request, limit] = process.argv.slice(2);
let left = Number(limit);
const handle = await open(process.execPath);
type Write = (this: FileHandle, bytes: Uint8Array, ...place: number[]) => Promise<unknown>;
const prototype = Object.getPrototypeOf(handle) as { write: Write };
await handle.close();
const { write } = prototype;
prototype.write = async function (bytes, ...place) {
  // Tensors are written with a place in the file, lines of the journal without.
  const [offset, length = 0, position] = place;
  if (length > left) {
    await write.call(this, bytes, offset, left, position);
    process.kill(process.pid, 'SIGKILL');
  }
  left -= length;
  return write.call(this, bytes, ...place);
};
await quantize(JSON.parse(request) as QuantizeRequest);
