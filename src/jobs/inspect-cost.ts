/** What common formats would cost a whole model: bytes exactly, error on a sample of rows rounded to nearest. */
import { parseFormat } from '../formats/registry.ts';
import { firstNonFinite, sqnrOf } from '../numeric/statistics.ts';

/** A weight as a matrix whose rows run along the reduction axis. */
export interface Matrix {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  /** Bytes as it is stored. */
  readonly bytes: number;
  /** Absent where the stored type is not decoded. */
  readRows?(begin: number, end: number): Promise<Float32Array>;
}

export interface FormatCost {
  readonly format: string;
  /** The whole model: matrices that take the format in it, everything else as it is stored. */
  readonly bytes: number;
  readonly bitsPerWeight: number;
  /** dB over the sampled rows; absent where nothing could be sampled. */
  readonly sqnr?: number;
  /** Matrices that take the format. */
  readonly matrices: number;
  /** Matrices that cannot, with the first of them as an example. */
  readonly refused: number;
  readonly refusal?: string;
}

export interface Costs {
  readonly formats: readonly FormatCost[];
  /** Values that the errors are measured on, and how many the matrices have. */
  readonly sampled: { readonly values: number; readonly of: number };
  /** Matrices with NaN or infinity in their sample: their error is not counted. */
  readonly notFinite: readonly string[];
}

const formatNames = ['int8/channel', 'q8_0', 'q4_k', 'int4/g32', 'int4/g128', 'nf4', 'mxfp4', 'q2_k'] as const;

/** Values per format; a few seconds of work whatever the model. */
const sampleValues = 1 << 20;
/** Sampled rows lie in so many runs. */
const runs = 4;

interface Tally { bytes: number; matrices: number; refused: number; refusal?: string; signal: number; noise: number }

/** `otherBytes` and `otherWeights` are what lies outside of the matrices. */
export async function formatCosts(
  matrices: readonly Matrix[], other: { readonly bytes: number; readonly weights: number }, onMatrix?: (done: number) => void,
): Promise<Costs> {
  const formats = formatNames.map((name) => parseFormat(name));
  const tallies = formats.map((): Tally => ({ bytes: other.bytes, matrices: 0, refused: 0, signal: 0, noise: 0 }));
  const budget = Math.max(1024, Math.floor(sampleValues / Math.max(1, matrices.length)));
  const notFinite: string[] = [];
  let weights = 0, values = 0;
  for (const [at, matrix] of matrices.entries()) {
    const { name, rows, cols, bytes } = matrix;
    weights += rows * cols;
    const sample = await sampleOf(matrix, budget);
    const usable = sample !== undefined && firstNonFinite(sample) < 0;
    if (sample !== undefined && !usable) notFinite.push(name);
    if (usable) values += sample.length;
    const signal = usable ? sample.reduce((sum, x) => sum + x * x, 0) : 0;
    for (const [i, format] of formats.entries()) {
      const tally = tallies[i];
      const refusal = format.refuses(rows, cols);
      if (refusal !== undefined) {
        tally.bytes += bytes;
        tally.refused++;
        tally.refusal ??= `${name}: ${refusal}`;
        continue;
      }
      tally.bytes += Math.ceil((rows * cols * format.bitsPerWeight(rows, cols)) / 8);
      tally.matrices++;
      if (!usable) continue;
      // Each sample stands for its whole matrix.
      const share = (rows * cols) / sample.length;
      tally.signal += signal * share;
      tally.noise += format.encode(sample, sample.length / cols, cols, { name }).squaredError * share;
    }
    onMatrix?.(at + 1);
  }
  return {
    formats: formats.map(({ name }, i): FormatCost => {
      const { bytes, matrices: taken, refused, refusal, signal, noise } = tallies[i];
      return {
        format: name, bytes, bitsPerWeight: (8 * bytes) / Math.max(1, weights + other.weights), matrices: taken, refused,
        ...(signal > 0 ? { sqnr: sqnrOf(signal, noise) } : {}), ...(refusal === undefined ? {} : { refusal }),
      };
    }),
    sampled: { values, of: weights }, notFinite,
  };
}

/** Evenly spaced runs of rows with about `budget` values in all, at least one row; undefined where nothing can be read. */
async function sampleOf({ rows, cols, readRows }: Matrix, budget: number): Promise<Float32Array | undefined> {
  if (readRows === undefined || rows * cols === 0) return undefined;
  const wanted = Math.min(rows, Math.max(1, Math.floor(budget / cols)));
  if (wanted === rows) return readRows(0, rows);
  const count = Math.min(runs, wanted);
  const length = Math.floor(wanted / count);
  const sample = new Float32Array(count * length * cols);
  for (let i = 0; i < count; i++) {
    const begin = Math.floor((i * (rows - length)) / Math.max(1, count - 1));
    sample.set(await readRows(begin, begin + length), i * length * cols);
  }
  return sample;
}
