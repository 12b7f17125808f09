// Generated from kernels/trellis/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'lZS/bhNBEMZndtd3Pp/t+M+dhUQze3ZFQ4tE41WkKKKgoEWR4iISutgiio8CIeRUPA4lLS8DFLzDSny7TowjjJScvKe52d2Z/X4za1qsV0xEPFTn2ebu' +
  'oXPijdaKuKWZOMnVhh3l8ZU+0ebdxeKK2Fwt1muiZHWxen/9UVHne1t9a+tkoz4nnySdkWPRYi6bqu9UU2lJ6xlP4attV88lk/6pmU9JMszWxzgE4XWz' +
  'kUSyE0kcnV4/faHCNNc263KeY5OS3iszl670pL903NQ2l5ZTJ2buyGph6Tnd1FX6TJEf27HAMDBG0hfT2I6QzRBFx9S+G9LtD1sE3/3HTg74StE2RaBU' +
  'OggkpUygIxXzIUjxWTi1J0My9j+5GsrQ/+LoGcjor8f/CD98FP7Yv7ETKeD+zbaQ0ndjUfaG/8rImjkBC2Tq1zYNSALOkBMxcuTL8QUoMpGJ/8L+rSaC' +
  'x9RWh8UtMY73UWHjFtQIYIKe/4LBif4FgziBJuoXIGR+GDHoUNll7XgL40xT1NsjVjoM00rSMCSNiO4DgVXe0ii3NEpJ3QBq9/pgJ7p8iOhDanfd8HjR' +
  'B3wFuiGC2HZDETFk+93wUKnov0OFL3YMQuEfzwDLacozmgUMoNgLznjFYjMkUwIYO3BsCTLo7mLSLbLqSAZnEHZkB0CW5JhAEIqRRTm+tIxt+HN4jUVt' +
  'GOEkCS4poxEkQSs09XNG2GVd0UsYBDY2CQuxNYZpkbtp538A';

/** The compiled search of trellis codes. */
export const trellisWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
