// Generated from kernels/hadamard/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'lVHJTsMwEB1P7OxbC5QdxvmS5ggfAfRQDhFppTZCQiDlX5G4A/dIjJ2kSPTEbd4sb7Fhsa0FAIhAPKi2bd9awEw4y9WzWy/r9eYFQTgowJth0GwWq+3j' +
  'elMD7IbhhxTvEr3WeyUsnUZ75HSHOnbmJMi/lXMCrUhq5AaSJK+64R6S6kBCkXT3RUoJJV3iB2EUJ2kGAh2pXI8n3B1RPpkeHB7NjouMeP93++T07Pzi' +
  '8uqadz8FU2U8/BL/vuwiCWyqv2aQkyrzio1jSZXGWERRSdrlDG4pGvJMhr1MWjHmE3ItVkPGjCu3KoIhsLXJHeapitA2WY2x81QVkcUTszQdbQW7UJTT' +
  'xBTZOAo50rR3DBTxO2Yj6O0b38ZPic2Qwtba7cu/OXrfSNhbtUmKPkQ6SipWSUcVNCqWN9p7Dp6aS4q7b9HdWZAPYP9zLBsYNkM6Pjn5pai0b/l/AA==';

/** The compiled Hadamard transform. */
export const hadamardWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
