// Generated from kernels/mixed/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';
import { mixedWasm } from './mixed.wasm.ts';

const base64 =
  '7VlbVhpBEI0oiSMDM40MrzFYM7wUFLagX8lXTtxBvjnuITvIT/aVBWQvHHOruod50Aga+fGAHh5FdXVXd1V13cuKGvhSfg018MPbThZ8LMsm/B9b8Dcu' +
  'H9iC17IFfyrHZylbUEvYghpu46ppI9E5FtkCl+82JgpcJgqcFVFQSYgCZ0F4X9kAqh1uYg2oDgAVKgwVcOEX8bRXgAr4nIcKEOShAgQWogDdBB+rI7sT' +
  '8LHiCceK5xI/8bGGhWMNM0RBiDM9N0RBYwefZDZ/n46ht0yRlsyC/iozCxL5TWdhpNVgpNVYEQWO9OM5T2EgtwbvPXjagqe4rrWneM9QWvEHAZvv2XW0' +
  'KL+OqJVOrnKTqz25WM/NUt+vix3G8c/SBVUAMPfpQ/4PPUVbmtTld6m+VfAINqVOqgRQLKCTqwTKry5Gnyh8GVOQAX0pU1BjYe3AFByYgpcwBTE3B0c4' +
  'bobf7NupgG7dJdbI808qT17J+1kHmcCYPKRqVBeAVU+wfv0xdgXrezDkCryvwpCDL+TDOeKrKSi9yUNK1DTo/hiTNtFjtGRSkS4AjirobcPHBXpxHt0A' +
  '+YZ8OPsKws5DAFQjFysNQAhIzwuUjcvYKzzE4YaE+g1/f1p4ZL6/ldYISOiEWouoa4P4WH8geRTw+nuIHDTVhmW4wPs8y9CDBNsbyE5fINHZq2ADe6HE' +
  'rtLsxTmplV0wlGvshWK7yvTwJdkdHu+SQhZZJogtsr5FNrDIhhbZyCIb2/gPiywCqEAq8T76FHDWd2X7r+TVj66pyznGVBOXgindLL9FMxRUrgMTmt6f' +
  'MD8AId0uH+K5fMFqMyDF3yX8RzFd05yuIBkZyUiM3cUzMTanCc3yZmY0xZC+Ue/DwAwG5jQ2krEYAPGxxcLA6A9WFi6N5FIsgOvYaAG+QX9o9IewMBEL' +
  'kZHwxknT0eL9acnp9yjGqtdriEhtNaRHA0yxPkCktgGxpehgVjsy7WRgqWsYFtSgdi4piEbY1/UliNS2BGJewDJApLYBBnrn1gwjG9ZMn7NoWi84kSUJ' +
  '5wuG9nGB49rt4LLHSxsljn9CkYNogPCQUkJhAqOb96VFGZVKrVUqgPBnK1V/S6WypSnXEKZeHU29cg3xM7VJMH7BpQTar2oIj3fJ372GRDvmfA8Vi3lQ' +
  '2Feaj9PpPMTtxVEy0pnQF27mwaT0GBHBkjSttfpdUT1RTBNFKyJdN2imSak1kZbDouZQ3veMJnuAw1bZ5COkmS0uRbopkMGLWQIZUmu2WgPZKBcDOSgm' +
  'XzH1+N7gMFYJFWQL4yR2j/AzVlP/lM6Bopmwfw==';

/** The compiled products with inputs of 4 and 8 bits with relaxed dot products. */
export const mixedRelaxedWasm = (): Uint8Array<ArrayBuffer> => inflated(base64, mixedWasm());
