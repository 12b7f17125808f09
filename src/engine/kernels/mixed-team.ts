/** Products with inputs of 4 and 8 bits shared by the threads of a team. */
import { mixedKernels, type MixedKernels } from './mixed.ts';
import type { Share, Works } from './team.ts';

/** Blocks of panels below which waking others costs what they save, some 60 microseconds of work. */
const worthSharing = 4096;

export function mixedWorks(memory: WebAssembly.Memory): Works {
  const own = mixedKernels(memory);
  return {
    mixed(word, first, last) {
      const at = (i: number): number => word(i) >>> 0;
      const [weights, scales, tokens, blocks, wide, codes, width, inScales, lifts, out, stride, up, down, rank] = Array.from({ length: 14 }, (_, i) => at(i));
      own.product(weights, scales, { tokens, blocks, wide, codes, width, scales: inScales, lifts }, { out, stride, first, last }, { up, down, rank });
    },
    mixed8(word, first, last) {
      const [weights, scales, cols, codes, inScales, tokens, out, stride] = Array.from({ length: 8 }, (_, i) => word(i) >>> 0);
      own.product8(weights, scales, cols, codes, inScales, tokens, { out, stride, first, last });
    },
  };
}

/** Kernels over the memory of a team that has `mixed`. */
export function sharedMixed(memory: WebAssembly.Memory, share: Share): MixedKernels {
  const own = mixedKernels(memory);
  return {
    ...own,
    product(weights, scales, x, output, branch = { up: 0, down: 0, rank: 0 }) {
      const { out, stride, first, last } = output;
      if ((last - first) * x.blocks * x.tokens < worthSharing) return own.product(weights, scales, x, output, branch);
      share('mixed', [weights, scales, x.tokens, x.blocks, x.wide, x.codes, x.width, x.scales, x.lifts, out, stride, branch.up, branch.down, branch.rank], first, last);
    },
    product8(weights, scales, cols, codes, inScales, tokens, output) {
      const { out, stride, first, last } = output;
      if (((last - first) * cols * tokens) / 128 < worthSharing) return own.product8(weights, scales, cols, codes, inScales, tokens, output);
      share('mixed8', [weights, scales, cols, codes, inScales, tokens, out, stride], first, last);
    },
  };
}
