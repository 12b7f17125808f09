// Generated from kernels/nested/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'bYw9CsJAGERn9ieKG4i11caTZAsLG8+QFAGJJpEoiFjE3tbrfuDGUh0YHlO8QXVuCYCpKs0YgxIctVag1QRnK232dXUCk64ahv4KJG3d9sNNYfGiepLq' +
  '7uHZ5PR6YwpdTGtrJkBg4JUcxUUiLJscKZ3LXKBXgYdLrGS5+ZHW1htvP2rKr8hOOun/3DqL8Ji7Nw==';

/** The compiled narrowing of integers. */
export const nestedWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
