/** Products between quantized activations shared by the threads of a team: lines of positions, or eights of outputs where there are more of them. */
import type { Build } from './builds.ts';
import { qdqKernels, type QdqKernels } from './qdq.ts';
import type { Share, Works } from './team.ts';

/** Steps of four positions and eight outputs below which waking others costs what they save, some 60 microseconds of work. */
export const worthSharing = 32_768;

const builds: readonly Build[] = ['plain SIMD', 'relaxed SIMD'];
/** Bytes of weights in a step, and of what becomes of eight sums. */
const [stepBytes, sidesBytes] = [32, 96];

const convolutions = { convolve: 1, convolveToFloats: 4, convolveFloats: 4 } as const;
const depthwise = { depthwise: 1, depthwiseToFloats: 4, depthwiseFloats: 4 } as const;
type Convolution = keyof typeof convolutions;
type Depthwise = keyof typeof depthwise;

/** Arguments of a convolution (kernels/qdq/products.ts) for some of its outputs or positions. */
function partOfConvolution(name: Convolution, byOutputs: boolean, args: readonly number[], first: number, last: number): readonly number[] {
  const [x, w, sides, outputs, positions, outX, rows, runs, steps, apart, below, right, down, out, stride, ...rest] = args;
  const width = convolutions[name];
  if (byOutputs) {
    return [x, w + first * rows * runs * steps * stepBytes, sides + first * sidesBytes, Math.min(outputs, 8 * last) - 8 * first, positions, outX, rows, runs, steps, apart, below, right, down, out + 8 * first * width, stride, ...rest];
  }
  // One line is cut where four positions end, others between lines.
  const [unit, step] = positions === outX ? [4, 4 * right] : [outX, down];
  return [x + first * step, w, sides, outputs, Math.min(positions, last * unit) - first * unit, outX, rows, runs, steps, apart, below, right, down, out + first * unit * stride, stride, ...rest];
}

/** Arguments of a convolution of every channel by itself (kernels/qdq/depthwise.ts) for some of its lines. */
function partOfDepthwise(name: Depthwise, args: readonly number[], first: number, last: number): readonly number[] {
  const [x, w, sides, channels, , outX, offsets, taps, right, down, out, ...rest] = args;
  return [x + first * down, w, sides, channels, last - first, outX, offsets, taps, right, down, out + first * outX * channels * depthwise[name], ...rest];
}

const named = <Name extends string, Value>(of: Readonly<Record<Name, unknown>>, make: (name: Name) => Value): Record<Name, Value> => Object.fromEntries((Object.keys(of) as Name[]).map((name) => [name, make(name)])) as Record<Name, Value>;

export function qdqWorks(memory: WebAssembly.Memory): Works {
  const made = new Map<Build, QdqKernels>();
  const own = (build: Build): QdqKernels => {
    const found = made.get(build) ?? qdqKernels(memory, build);
    made.set(build, found);
    return found;
  };
  /** Words: the build, what is shared, how many arguments there are, and these. */
  const argsOf = (word: (index: number) => number): number[] => Array.from({ length: word(2) }, (_, i) => word(3 + i));
  return {
    ...named(convolutions, (name) => (word, first, last) => own(builds[word(0)])[name](...partOfConvolution(name, word(1) === 1, argsOf(word), first, last))),
    ...named(depthwise, (name) => (word, first, last) => own(builds[word(0)])[name](...partOfDepthwise(name, argsOf(word), first, last))),
  };
}

/** Kernels over the memory of a team that has `qdq`; what takes fewer steps than `least` is not shared. */
export function sharedQdq(memory: WebAssembly.Memory, build: Build, share: Share, least = worthSharing): QdqKernels {
  const own = qdqKernels(memory, build);
  const head = builds.indexOf(build);
  return {
    ...own,
    ...named(convolutions, (name) => (...args) => {
      const [, , , outputs, positions, outX, rows, runs, steps] = args;
      const eights = Math.ceil(outputs / 8);
      if (eights * Math.ceil(positions / 4) * rows * runs * steps < least) return own[name](...args);
      const lines = positions === outX ? Math.ceil(positions / 4) : positions / outX;
      const byOutputs = eights > lines;
      share(name, [head, Number(byOutputs), args.length, ...args], 0, byOutputs ? eights : lines);
    }),
    ...named(depthwise, (name) => (...args) => {
      const [, , , channels, outY, outX, , taps] = args;
      if (Math.ceil(channels / 8) * outY * Math.ceil(outX / 4) * taps < least) return own[name](...args);
      share(name, [head, 0, args.length, ...args], 0, outY);
    }),
  };
}
