// Generated from kernels/qdq/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';
import { qdqWasm } from './qdq.wasm.ts';

const base64 =
  '7drBCcJAFIRhsAUbUBOQ6G5iFTZoJx4sx04EZ3afKznknsB/W954NQzMh5PavpN63vcvnNSanVTdz7SQxcJ+/Dx2+svWCe2qjezkQ93Q2lY/+DZo9s/a' +
  'LfS8lLit9J1vXYl7P/sSh4pKmkd0OytOmkX0xEPhofBQeCg8FB4KD7UKD/XGQ23KQ9UWN0WLu81b3CidFC1Ov/hLqORbOjjOfuYSNwMVLc5xtDjH8emZ' +
  'fi1u1HWxxeGecE+4J9wT7gn3hHvCPeGecE+4J9wT7gn3hHvCPeGecE+4J9wT7gn3hHsK9/QF';

/** The compiled operators between quantized activations with relaxed dot products. */
export const qdqRelaxedWasm = (): Uint8Array<ArrayBuffer> => inflated(base64, qdqWasm());
