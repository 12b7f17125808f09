// Generated from kernels/vidkv/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'jVbdbtxEFJ7x2Gt77f3JZrO7yW66x76CIkS5Kj/9iVVRFSpVfYIqlYgQzg+kLEEoRBsJIcFtSJVnIEAvuAEqVAFX3IB4iCaIN0CIIXxnvJv11hXtJsdj' +
  'n+/MmTlnzndscfu9dSmEkM+pZXc43BniJ5ZLPPBNc6Sa+gmrJtXKxlZpfWX9nTsfWkIqWwlpubNW6fZgsLLxprBOsfJXLfWpr9xhZdvaIUkykVtxuBoH' +
  'iUqTjzajilqC1rtuL5FNXqK20ueFwI27+X4iN1+D2iE3sQYpsRbjWUu8ZAnoZBq5AXQYvVAGAQwrbBC5cFk296/bSzpEdFO/qJqIyIONRwEMqIqJxrP2' +
  '4VdBXVkzC5ZTLWyhj6V+KKNqfiUXGFV1YAsqJ/U0KhutjeDclEOIPQoTOaAgxTWNHQrMxhSVdKiwBd7TOciPEOOlxCtFHcaF2L0MuQS5CLmQw6uM82lZ' +
  'EBviTc+fN7n0s1z641z6o1zaQ+oiif4oiXGPvBekFZeTkxO5mVQGD65guQ/2f0BIu7vWZlIf3Hmwvxd1qUYKfvQMdfQN/bckM1E8YaKeRYKOZdwe5a9G' +
  'dXYjJ27GSJ1mGLGKyAw1GFFFpEGzjNhFZJaajDhFpElzjJSKyBy1GHGLCPSJxwfnJXbqIH8uMvc04ce9z03metTb07PxAjlcXXGb5vUNyHksM0rKArUT' +
  'W38tpxFOCiNeAeGkMBIWEE4KI/UCwklhpFlAOCmMdAoIJ4WRXgFpkYNsRMxLDC6TJw0iD5UFgviGCiWE3kXcVdiThZsaJ9RUKkI22pGmDs3MlIagaUxp' +
  'zkHD5TTRLEHTnNLchGZuSrMMTWtK827wq1LOtjOUO2BKkOxK5n8JpAgyqv8poxL0YHTAYVwR/55cBbf6TLC+POCrxRd1cBDX7+LcQa+6GW4h2qgEr2FC' +
  '7NQ2DYCbVsh8iwP2j6nYR6r/ksTPCH38rD/JshNytYUmhfCL1e+iEixummgfIUZngJwnzgZKx06W0EYjgUWrVONFuXuFVGXWJ2qQPqvEeSWoysdSJZE4' +
  'aSSyRmW6RdmMdUTMI+EgeTxnWqOkCneRUUeNBQmu+wCPDj9qNCEq6/uS+NZDHPelvpc91ckdAx3yMgD/sa+7aD66K1O+Wuaq0m9QDhbcIj4mlSiQSuRI' +
  'tb/HnR/GaVThQILffWXt+EN7GzXoDEA4ie3GLWqk0Rl2cBI1TZ9vczACUVnIkIMTb6+ldAZ1107cQVoXGOGzzT5h79MC24OAHLzxw+susM3CqU2XM96E' +
  '1bihHoBMOQoIdI1WJMgCk2aoa14APjUjC6dVWSXUWAt+WtR5A37K1DHqa2jSFeqg1dRYs0qVlCc+Y4mAwjUs/5jXWR+vszZcIQredh8htk05U5sW8q+w' +
  'PveGUZgIoGNecn3+0xXPLwdhpVrDa1zZTsmFfdznwsdF7tHcftzkHFjUPEAEHQ6zY/x0x+GksRq90n1sRpHP+UFnn8qh4olqlMNFk7rMbBHTzZ7RLPSR' +
  '5DB/+Tkv4GYc6fDVw+8u54VDg+3S9bxkmy+qj2QUk9LhW2/ffDkvFFEM890XL+eFXR9JRj7evfV9XjIkjs3iv1359pW8cL/JEO8z70JeJshPX5y9mJcJ' +
  'cnh49lJeJgiOGt8FEzFIhh2zzUNjY74dToVtkIgh7PMCOiZt/aWZiJwKcQ8pnoi+qm8gf9yPCNNROUSLXDmL5sTN70kVg25I1EjQOP4JuEN51Ms41WPG' +
  'gYnMwh5Y6KbolWeoUcd3BRdHb0QeeUoa21RYpExbmmcvDZo3dW1Kn72jsK6Z0rfRL8ZfcvAC+jBtRuanNBC8UNYK1Xg+KvjxLsa0ZGdMS2gepeX/+J8F' +
  'xkfwKGv5ZEj/kXX9eU7uvOlo/wE=';

/** The compiled attention over keys and values in one to two bits. */
export const vidkvWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
