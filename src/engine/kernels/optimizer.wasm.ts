// Generated from kernels/optimizer/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'rVTNbtNAEJ79s504sd3GTUjSSuMcuXNvuPESJVEbCaqmLU1BoEQyjxIh7jxAb7wQBcTREt+u3ZJDXBVEDrPend1vvvlmJjRdzAURiWfexOR5vlrRROa5' +
  'WE0UNjQJcIbDVU4TEvkkslu7L38kY6Fm5++8+Wx+cfVBklCBL6QiTcZ/HuhXs+klaf9ktjienZ+Q0VcXZ2ckzfRkenlNnpq/fk/KLI6nZzMS/uLN2+nV' +
  'bEF0D9e8Cf3PwFuKFROLsbw+zYQ6ZBq3Tlm80IcsmQpEG+ni5UiyLH6I4lZkkhVr1kU7aDTDVjuK71bcUqyqWwo4yWlGLRGGeJpRZix2CWyYnkq6GRk2' +
  'n9YZdmN9d9XYy2INnIysEet1eCnkEsepBd0kWoLh2h+eNvpRPUHnLtqEtLXx/GRnt5PudXtFqGmDb/hVisYSCGnWYAPbZA82sKFcdOWiq1KjANRs9MjB' +
  's3AbxOJmRSuBMK1SllHbmhAUA444qqHIMcfbXEBMONkqfFThx9Yk9TlyixvcRvSwfMAh+0P7+d3qFsEZw5lUzmTD+aBqqAoWwdIu0mn4RQi9RAVT1Ncq' +
  '6SG4dOpJp54sa4fiO5H8MnOv0i8oa3VrWRn22a+TygPdoK7U9vljeDvChsYfg/9D24n577QfK7ej/UuJZOm6NHJdGqO0aZZwC3aH27C7oJFmHcRLs5Qb' +
  'sHvchO0iD+1S0y41bVPrVN3cL3mmVWIDdF9c5TxEvz2p+m2/Gvce70E06z0oH3bZupyx/n0MSg+idLjP/TpRUh7wYGvjxzzk4dbG71dEBtU6rJVOgcwR' +
  'aB7wQR2BLsJjucMaPDBHEVsJMCG9Ms1vgnfs165tup/382Tp4ZKdIsBuu/QXc4V/HyzKlf03';

/** The compiled updates of parameters. */
export const optimizerWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
