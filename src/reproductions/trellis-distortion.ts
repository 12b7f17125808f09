/** What codes lose on fresh normal values, tile by tile, beside the paper's table; and how fast the search for paths is. */
import { encodeTrellisFast } from '../engine/kernels/trellis.ts';
import { parseFormat } from '../formats/registry.ts';
import { trellisOf } from '../formats/trellis/trellis.ts';
import { encodeTrellis } from '../formats/trellis/viterbi.ts';
import { normal } from '../numeric/random.ts';
import { mean, median } from '../numeric/statistics.ts';
import { encodeMatrix } from '../round/encode-matrix.ts';
import { check, measured, type Arm, type Check } from './reproduction.ts';

/** Relative squared errors of the paper's own table, rotation and row scaling, no second moments. */
const stated: Readonly<Record<'tcq' | 'vq' | 'lloydmax', Readonly<Record<string, number>>>> = {
  tcq: {
    1.5: 0.14034, 1.75: 0.10569, 2: 0.07101, 2.25: 0.05366, 2.5: 0.03631, 2.75: 0.02762, 3: 0.01891, 3.25: 0.01455, 3.5: 0.01018, 3.75: 0.00804, 4: 0.0059,
    4.25: 0.00414, 4.5: 0.00303, 4.75: 0.00219, 5: 0.00162,
  },
  vq: { 1.5: 0.20124, 2: 0.10859, 2.5: 0.05708, 3: 0.02972, 3.5: 0.01523, 4: 0.00776, 4.5: 0.00392, 5: 0.00198 },
  lloydmax: { 2: 0.11748, 3: 0.03451, 4: 0.0095, 5: 0.00251 },
};

export interface Distortion {
  readonly format: string;
  readonly bits: number;
  /** Σ error² / Σ value² and its standard error over tiles of 16 by 16. */
  readonly error: number;
  readonly standardError: number;
  readonly paper: number;
}

const side = 16;

/** A matrix of `tiles` tiles side by side in strips of `across`. */
function distortionOf(format: string, bits: number, paper: number, tiles: number, seed: number, across = 64): Distortion {
  const [rows, cols] = [side * Math.ceil(tiles / across), side * Math.min(across, tiles)];
  const values = Float32Array.from({ length: rows * cols }, (_, i) => normal(seed, 0x715, i));
  const parsed = parseFormat(format);
  const decoded = parsed.decode(encodeMatrix(parsed, values, rows, cols));
  const width = cols / side;
  const [errors, energies] = [new Float64Array((rows / side) * width), new Float64Array((rows / side) * width)];
  values.forEach((x, i) => {
    const tile = Math.floor(i / cols / side) * width + Math.floor((i % cols) / side);
    errors[tile] += (decoded[i] - x) ** 2;
    energies[tile] += x * x;
  });
  const energy = energies.reduce((sum, x) => sum + x, 0);
  const error = errors.reduce((sum, x) => sum + x, 0) / energy;
  // Of a ratio of sums: the residuals of the tiles.
  const residual = errors.reduce((sum, x, i) => sum + (x - error * energies[i]) ** 2, 0);
  return { format, bits, error, standardError: Math.sqrt((residual * errors.length) / (errors.length - 1)) / energy, paper };
}

export interface SearchTime {
  /** Milliseconds per tile of 256 weights. */
  readonly kernel: number;
  readonly twin: number;
  /** Medians over interleaved rounds; the ratio is that of each round. */
  readonly ratio: number;
  readonly sameStates: boolean;
}

/** Both encoders on the same tiles in turn. */
export function searchTime(bits: number, stateBits: number, tiles: number, rounds: number): SearchTime {
  const trellis = trellisOf('hyb', stateBits, 2 * bits);
  const sequences = Float32Array.from({ length: tiles * side * side }, (_, i) => normal(1, 0x715, i));
  encodeTrellisFast(trellis, sequences.subarray(0, side * side), side * side);
  const [kernel, twin, ratio]: number[][] = [[], [], []];
  let same = true;
  for (let round = 0; round < rounds; round++) {
    const begin = performance.now();
    const plain = encodeTrellis(trellis, sequences, side * side);
    const between = performance.now();
    const fast = encodeTrellisFast(trellis, sequences, side * side);
    const end = performance.now();
    same &&= plain.every((state, i) => state === fast[i]);
    twin.push((between - begin) / tiles);
    kernel.push((end - between) / tiles);
    ratio.push((between - begin) / (end - between));
  }
  return { kernel: median(kernel), twin: median(twin), ratio: median(ratio), sameStates: same };
}

/** Milliseconds per tile of the kernel alone: mean over all, and in the fastest sixteen, which other work disturbs least. */
export function kernelTime(bits: number, stateBits: number, tiles: number): { readonly mean: number; readonly fastest: number } {
  const trellis = trellisOf('hyb', stateBits, 2 * bits);
  const chunk = 16;
  const times: number[] = [];
  for (let at = 0; at < tiles; at += chunk) {
    const sequences = Float32Array.from({ length: chunk * side * side }, (_, i) => normal(2, at, i));
    if (at === 0) encodeTrellisFast(trellis, sequences.subarray(0, side * side), side * side);
    const begin = performance.now();
    encodeTrellisFast(trellis, sequences, side * side);
    times.push((performance.now() - begin) / chunk);
  }
  return { mean: mean(times), fastest: Math.min(...times) };
}

/** Every code of the paper's table: so many tiles at 12 and at 16 state bits, and values of codes without a trellis. */
export function distortionsOf({ short, long, values }: { readonly short: number; readonly long: number; readonly values: number }, seed: number, say: (line: string) => void): Distortion[] {
  const vectors = values / (side * side);
  const distortion = (...settings: Parameters<typeof distortionOf>): Distortion => {
    const found = distortionOf(...settings);
    say(`${found.format}: ${found.error.toFixed(5)} ± ${found.standardError.toFixed(5)}, paper ${found.paper}`);
    return found;
  };
  return [
    ...Object.entries(stated.tcq).map(([bits, paper]) => distortion(`tcq${bits}`, Number(bits), paper, short, seed)),
    ...Object.entries(stated.tcq).filter(([bits]) => Number.isInteger(2 * Number(bits))).map(([bits, paper]) => distortion(`tcq${bits}/l16`, Number(bits), paper, long, seed, 26)),
    ...Object.entries(stated.vq).map(([bits, paper]) => distortion(`vq${bits}`, Number(bits), paper, vectors, seed)),
    ...Object.entries(stated.lloydmax).map(([bits, paper]) => distortion(`lloydmax${bits}/channel`, Number(bits), paper, vectors, seed)),
  ];
}

export const distortionArm = ({ format, error, paper }: Distortion): Arm => ({ name: `${format} on normal values`, metrics: { 'relative squared error': measured([error]), 'of the paper\'s': measured([error / paper]) } });

export function distortionChecks(all: readonly Distortion[]): Check[] {
  const of = (matches: (format: string) => boolean): Distortion[] => all.filter(({ format }) => matches(format));
  const most = (part: readonly Distortion[]): Distortion => part.reduce((a, b) => (b.error / b.paper > a.error / a.paper ? b : a));
  const bounded = (name: string, part: readonly Distortion[], limit: number): Check => {
    const worst = most(part);
    return check(name, `at most ${limit} times the paper's at every width`, `at most ${(worst.error / worst.paper).toFixed(3)}, ${worst.format}`, worst.error <= limit * worst.paper);
  };
  const plain = of((format) => /^(vq|lloydmax)/.test(format));
  const widest = plain.reduce((a, b) => (Math.abs(b.error / b.paper - 1) > Math.abs(a.error / a.paper - 1) ? b : a));
  const below = all.filter(({ error, standardError, bits }) => error < 4 ** -bits - 3 * standardError);
  const at = (format: string): number => all.find((one) => one.format === format)!.error;
  return [
    check('scalar and vector codes on normal values', 'within 2 % of the paper\'s', `${((widest.error / widest.paper - 1) * 100).toFixed(2)} % at most, ${widest.format}`, Math.abs(widest.error / widest.paper - 1) <= 0.02),
    bounded('trellis codes at 16 state bits', of((format) => format.endsWith('/l16')), 1.05),
    bounded('trellis codes at 12 state bits', of((format) => /^tcq[\d.]+$/.test(format)), 1.15),
    check('the Gaussian bound 4^−b', 'no code below it by more than three standard errors', below.length === 0 ? 'none' : below.map(({ format }) => format).join(', '), below.length === 0),
    ...[2, 3].map((bits) => check(`${bits} bits: trellis before vector before scalar`, 'rising errors', `${at(`tcq${bits}`).toFixed(5)}, ${at(`vq${bits}`).toFixed(5)}, ${at(`lloydmax${bits}/channel`).toFixed(5)}`, at(`tcq${bits}`) < at(`vq${bits}`) && at(`vq${bits}`) < at(`lloydmax${bits}/channel`))),
  ];
}

export const searchChecks = ({ ratio, sameStates }: SearchTime): Check[] => [
  check('the kernel finds the states of its plain twin', 'bit for bit', sameStates ? 'the same' : 'others', sameStates),
  check('the kernel against its plain twin', 'at least 3 times as fast', `${ratio.toFixed(1)} times`, ratio >= 3),
];
