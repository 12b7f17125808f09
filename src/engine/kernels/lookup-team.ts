/** Products that only add shared by the threads of a team. */
import { lookupKernels, type LookupKernels } from './lookup.ts';
import type { Share, Works } from './team.ts';

/** Blocks of panels below which waking others costs what they save, some 60 microseconds of work. */
const worthSharing = 2048;

export function lookupWorks(memory: WebAssembly.Memory): Works {
  const own = lookupKernels(memory);
  return {
    lookup(word, first, last) {
      const [weights, scales, tokens, blocks, tables, inScales, out, stride, panels] = Array.from({ length: 9 }, (_, i) => word(i) >>> 0);
      own.product(weights, scales, { tokens, blocks, tables, scales: inScales }, { out, stride, panels, first, last });
    },
  };
}

/** Kernels over the memory of a team that has `lookup`. */
export function sharedLookup(memory: WebAssembly.Memory, share: Share): LookupKernels {
  const own = lookupKernels(memory);
  return {
    ...own,
    product(weights, scales, x, output) {
      const { out, stride, panels, first, last } = output;
      if ((last - first) * x.blocks * x.tokens < worthSharing) return own.product(weights, scales, x, output);
      share('lookup', [weights, scales, x.tokens, x.blocks, x.tables, x.scales, out, stride, panels], first, last);
    },
  };
}
