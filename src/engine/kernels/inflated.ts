/**
 * Compiled kernels as their modules hold them: deflated, in base64, which bundles then carry at two thirds of the size; those of
 * relaxed builds with the plain one as the dictionary.
 */
import { inflateSync } from 'fflate';

export const inflated = (base64: string, dictionary?: Uint8Array): Uint8Array<ArrayBuffer> =>
  inflateSync(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), dictionary === undefined ? {} : { dictionary });
