// Generated from kernels/qdq/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';
import { qdqWasm } from './qdq.wasm.ts';

const base64 =
  '7drBDYJAEIXhxJtnGzBCYjC7YBF2aDOWYht24JvlsYQDdwj/bTPPq5MJ70ML7V8LfV6X3xkttFUt5GLc/VbWh//3Sf9Xd+PqrG4xGDut2nt3MetUoWdV' +
  'CXo+Slwb7yZmTYnbeLYltg1Kaiw0uytOair0RAWhglBBrDxUECro4CroiwrakQoa18fgdfJc3k69jI5vJ/1i9kApZukacY5nLnGVQL6dIvbtFLHXxjDd' +
  'Tr2mq7cT+gf9g/5B/6B/0D/oH/QP+gf9g/5B/6B/0D/oH/QP+gf9g/5B/6B/0D9b1j9/';

/** The compiled operators between quantized activations with relaxed dot products. */
export const qdqRelaxedWasm = (): Uint8Array<ArrayBuffer> => inflated(base64, qdqWasm());
