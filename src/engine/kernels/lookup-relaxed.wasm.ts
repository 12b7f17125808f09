// Generated from kernels/lookup/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';
import { lookupWasm } from './lookup.wasm.ts';

const base64 =
  'o12xfX+02B4ttgdVsX12mBfbDUzYym2gKNEFdwMTUskN4owW3YO36AYA';

/** The compiled products by looking up sums with relaxed swizzles. */
export const lookupRelaxedWasm = (): Uint8Array<ArrayBuffer> => inflated(base64, lookupWasm());
