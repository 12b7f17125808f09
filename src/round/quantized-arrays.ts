/** A rounded matrix as typed arrays and words, to be kept and read back as it was. */
import { packArrays, unpackArrays, type PackedArray } from '../files/arrays.ts';
import type { NumberFormat, Quantized } from '../formats/format.ts';
import { quantizedWhole, type QuantizedMatrix } from './quantized-matrix.ts';

/** All rows at once; `beside` are arrays that belong with them. */
export async function packQuantized(matrix: QuantizedMatrix, beside: Readonly<Record<string, PackedArray>> = {}): Promise<Uint8Array> {
  const { codes, scales, zeros, codebook, blocks, doubleQuantized, ...words } = await matrix.read(0, matrix.rows);
  const arrays: Record<string, PackedArray | undefined> = {
    codes, scales, zeros, codebook, blocks, 'double codes': doubleQuantized?.codes, 'double map': doubleQuantized?.map, 'double scales': doubleQuantized?.scales,
  };
  const { codes: _codes, map: _map, scales: _scales, ...double } = doubleQuantized ?? {};
  return packArrays({
    arrays: new Map([...Object.entries(arrays), ...Object.entries(beside).map(([name, array]) => [`beside ${name}`, array] as const)].filter((entry): entry is [string, PackedArray] => entry[1] !== undefined)),
    // Shortest decimals come back as the same number; a matrix that nobody summed has none.
    words: new Map([['quantized', JSON.stringify(words)], ['double', JSON.stringify(double)], ['squares', JSON.stringify(matrix.stats()?.sumOfSquares ?? null)]]),
  });
}

export async function unpackQuantized(format: NumberFormat, bytes: Uint8Array): Promise<{ readonly matrix: QuantizedMatrix; readonly beside: Readonly<Record<string, PackedArray>> }> {
  const { arrays, words } = await unpackArrays(bytes);
  const array = <T extends PackedArray>(name: string): T | undefined => arrays.get(name) as T | undefined;
  const [zeros, codebook, blocks] = [array<Float32Array>('zeros'), array<Float32Array>('codebook'), array<Uint8Array>('blocks')];
  const rest = JSON.parse(words.get('quantized')!) as Omit<Quantized, 'codes' | 'scales'>;
  const whole: Quantized = {
    ...rest, squaredError: rest.squaredError ?? Number.NaN, codes: array<Uint8Array>('codes')!, scales: array<Float32Array>('scales')!,
    ...(zeros === undefined ? {} : { zeros }), ...(codebook === undefined ? {} : { codebook }), ...(blocks === undefined ? {} : { blocks }),
    ...(arrays.has('double map') ? { doubleQuantized: { ...JSON.parse(words.get('double')!) as { block: number; offset: number }, codes: array<Uint8Array>('double codes')!, map: array<Float32Array>('double map')!, scales: array<Float32Array>('double scales')! } } : {}),
  };
  const beside = Object.fromEntries([...arrays].flatMap(([name, values]) => (name.startsWith('beside ') ? [[name.slice(7), values]] : [])));
  return { matrix: quantizedWhole(format, whole, (JSON.parse(words.get('squares')!) as number | null) ?? Number.NaN), beside };
}
