// Generated from kernels/nested/index.ts by kernels/build.mjs; do not edit.
const base64 =
  'AGFzbQEAAAABDAJgBH9/f38AYAABfwMDAgABBQMBAAEHGgMEaGVhcAABBm5hcnJvdwAABm1lbW9yeQIACpQBAosBAQJ7IAAgAWohASADRQRAA0AgACAB' +
  'SQRAIAAgAP0ABAAgAv1s/QsEACAAQRBqIQAMAQsLDwtBASACQQFrdEEBa/0PIQQDQCAAIAFJBEAgACAA/QAEACIFIAQgBSAC/Wz9DAEBAQEBAQEBAQEB' +
  'AQEBAQH9Tv1u/W8gAv1s/QsEACAAQRBqIQAMAQsLCwUAQYAICw==';

/** The compiled narrowing of integers. */
export const nestedWasm = (): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
