/** Tensors of a conversion: copied as they are stored, or encoded in a float type that is checked against what was read. */
import { copyTensor, type TensorOut, type TensorRef, type TensorType } from '../tensor-ref.ts';
import { encodeTensor } from '../round/encode-tensor.ts';
import type { Pool } from '../round/pool.ts';
import type { ConvertedTensor } from './convert.ts';
import type { Progress } from './progress.ts';

export interface TensorMove {
  /** Under the name that it gets. */
  readonly tensor: TensorRef;
  readonly target: TensorType;
}

export const plannedTensor = ({ tensor, target }: TensorMove): ConvertedTensor => ({ name: tensor.name, shape: tensor.shape, source: tensor.type, target });

/** Tensors to be written in this order, and what became of each, known once it is written. */
export function movedTensors(moves: readonly TensorMove[], pool: Pool, progress: Progress): { readonly outs: readonly TensorOut[]; done(): ConvertedTensor[] } {
  const lines = moves.map(plannedTensor);
  let count = 0;
  const outs = moves.map(({ tensor, target }, index): TensorOut => {
    const finished = (error: number): void => {
      lines[index] = { ...lines[index], error };
      progress.line(told(lines[index], ++count, moves.length));
      progress.advance(count);
    };
    if (tensor.type === target) return copied(copyTensor(tensor), () => finished(0));
    return encodeTensor(tensor, target, { pool, onDone: ({ squaredError, sumOfSquares }) => finished(squaredError === 0 ? 0 : Math.sqrt(squaredError / sumOfSquares)) });
  });
  return { outs, done: () => lines };
}

/** A copy that tells when its last byte is taken. */
const copied = (out: TensorOut, done: () => void): TensorOut => ({
  ...out,
  async *chunks() {
    yield* out.chunks();
    done();
  },
});

function told({ name, shape, source, target, error = 0 }: ConvertedTensor, count: number, total: number): string {
  const how = source === target ? source : `${source} -> ${target}, ${error === 0 ? 'exact' : `rounded, error ${error.toExponential(1)}`}`;
  return `[${String(count).padStart(String(total).length)}/${total}] ${name} [${shape.join(', ')}] ${how}`;
}

/** What a conversion did to the values, one line per pair of types: `38 tensors from q4_k to f32, exact`. */
export function movesText(tensors: readonly ConvertedTensor[]): string[] {
  const groups = new Map<string, ConvertedTensor[]>();
  for (const tensor of tensors) {
    const key = `${tensor.source} ${tensor.target}`;
    groups.set(key, [...(groups.get(key) ?? []), tensor]);
  }
  return [...groups.values()].map((group) => {
    const [{ source, target }] = group;
    const count = `${group.length} ${group.length === 1 ? 'tensor' : 'tensors'}`;
    if (source === target) return `${count} in ${source}, copied bit for bit`;
    const measured = group.filter(({ error }) => error !== undefined);
    const worst = measured.reduce((a, b) => (b.error! > a.error! ? b : a), measured[0]);
    if (worst === undefined) return `${count} from ${source} to ${target}`;
    return `${count} from ${source} to ${target}, ${worst.error === 0 ? 'exact: every value is the same' : `rounded: relative error at most ${worst.error!.toExponential(1)} (${worst.name})`}`;
  });
}

/** `Model-Q4_K` → `Model`: a type that the files no longer have. */
export const withoutType = (name: string): string => name.replace(/-(f32|f16|bf16|fp32|fp16|i?q\d\w*|tq\d\w*|mxfp4|nvfp4)$/i, '');

/** The type that most values have. */
export function mainType(moves: readonly TensorMove[]): TensorType {
  const counts = new Map<TensorType, number>();
  for (const { tensor: { shape }, target } of moves) counts.set(target, (counts.get(target) ?? 0) + shape.reduce((product, dim) => product * dim, 1));
  return [...counts].reduce((a, b) => (b[1] > a[1] ? b : a), ['f32' as TensorType, 0] as const)[0];
}
