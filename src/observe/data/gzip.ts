/** Gzip with a bound on what comes out, so that a small file cannot fill the memory. */
import { Gunzip } from 'fflate';
import { defineErrors } from '../../errors.ts';

/** Larger than any data set that is held in memory as one array. */
export const maxGunzippedBytes = 2 ** 30;

const errors = defineErrors('gzip', {
  tooLarge: (f: { name: string; limit: number }) => `${f.name}: unpacks to more than ${f.limit} bytes`,
  broken: (f: { name: string; why: string }) => `${f.name}: broken gzip data (${f.why})`,
});

export function gunzipBounded(packed: Uint8Array, name: string, limit = maxGunzippedBytes): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  let tooLarge = false;
  const stream = new Gunzip((chunk) => {
    size += chunk.length;
    tooLarge ||= size > limit;
    if (!tooLarge) parts.push(chunk);
  });
  try {
    for (let at = 0; at < packed.length && !tooLarge; at += 16384) stream.push(packed.subarray(at, at + 16384), at + 16384 >= packed.length);
  } catch (error) {
    throw errors.broken({ name, why: error instanceof Error ? error.message : String(error) });
  }
  if (tooLarge) throw errors.tooLarge({ name, limit });
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}
