/** What was observed of a language model's columns, kept as an importance matrix that llama.cpp reads. */
import { defineErrors } from '../errors.ts';
import { fileSink } from '../files/fs-node.ts';
import { makeImatrix, writeImatrix, writeOldImatrix } from '../files/imatrix.ts';
import { ggufName } from '../models/gguf-names.ts';
import type { Dataset } from '../observe/data/dataset.ts';

const errors = defineErrors('saveImatrix', {
  notText: (f: { name: string }) => `${f.name}: samples without input_ids make no importance matrix`,
});

/**
 * Writes mean squares by weight name to a file, in the older form where it is called .dat. Gives them back as the file
 * holds them, so that a later run with `--imatrix` rounds to the same bytes as this one.
 */
export async function saveImatrix(path: string, observed: ReadonlyMap<string, Float32Array>, dataset: Dataset): Promise<ReadonlyMap<string, Float32Array>> {
  let [vectors, longest] = [0, 0];
  for (let i = 0; i < dataset.count; i++) {
    const { feeds } = await dataset.batch([i]);
    if (feeds.input_ids === undefined) throw errors.notText({ name: dataset.name });
    const length = feeds.input_ids.shape.at(-1)!;
    vectors += length;
    longest = Math.max(longest, length);
  }
  const old = /\.dat$/i.test(path);
  // Entries of the older form count chunks; those of the other the vectors that were seen.
  const count = old ? dataset.count : vectors;
  const imatrix = makeImatrix(new Map([...observed].map(([name, means]) => [ggufName(name), { sums: means.map((mean) => mean * count), counts: Float32Array.of(count) }])),
    { datasets: [dataset.name], chunkCount: dataset.count, chunkSize: old ? 0 : longest }, path);
  const sink = await fileSink(path);
  try {
    await (old ? writeOldImatrix : writeImatrix)(sink, imatrix);
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
  return new Map([...observed.keys()].map((name) => [name, imatrix.entries.get(ggufName(name))!]));
}
