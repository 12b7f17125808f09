/** Importance matrices between their two forms: GGUF, and the older one, which `.dat` asks for. */
import { readImatrix, writeImatrix, writeOldImatrix } from '../files/imatrix.ts';
import { convertErrors as errors } from './convert-errors.ts';
import type { Stored } from './convert-source-node.ts';
import type { Prepared } from './convert.ts';

const isOld = (name: string): boolean => /\.dat$/i.test(name);

export async function prepareImatrix({ kind, name, source }: Stored): Promise<Prepared> {
  if (kind !== 'imatrix') throw errors.move({ name, kind, to: 'imatrix' });
  const imatrix = await readImatrix(source!);
  const tensors = [...imatrix.stats].map(([tensor, { sums, counts }]) => ({ name: tensor, shape: [counts.length, sums.length / counts.length], source: 'f32' as const, target: 'f32' as const }));
  const bytes = tensors.reduce((sum, { shape }) => sum + 4 * shape[0] * shape[1], 0);
  return {
    // The other form than that of the source.
    defaultName: `${name}.${isOld(source!.name) ? 'gguf' : 'dat'}`,
    files: (file) => [{ path: file, bytes }],
    tensors, notes: imatrix.chunkCount === 0 ? [] : [`made from ${imatrix.chunkCount} chunks${imatrix.datasets.length === 0 ? '' : ` of ${imatrix.datasets.join(', ')}`}`],
    close: () => source!.close(),
    write: async ([sink], file, progress) => {
      await (isOld(file) ? writeOldImatrix : writeImatrix)(sink, imatrix);
      progress.advance(tensors.length);
      return tensors.map((tensor) => ({ ...tensor, error: 0 }));
    },
  };
}
