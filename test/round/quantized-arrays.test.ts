/** Rounded matrices come back from bytes as they were, whatever their format holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatNames, parseFormat } from '../../src/formats/registry.ts';
import { normal } from '../../src/numeric/random.ts';
import { packQuantized, unpackQuantized } from '../../src/round/quantized-arrays.ts';
import { quantizedWhole, sumOfSquares } from '../../src/round/quantized-matrix.ts';

const [rows, cols] = [6, 256];
const values = Float32Array.from({ length: rows * cols }, (_, i) => normal(3, 0, i));

/** Of each family and of each way that scales are held. */
const names = formatNames().filter((name) => parseFormat(name).refuses(rows, cols) === undefined);

for (const name of names) {
  test(name, async () => {
    const format = parseFormat(name);
    const encoded = format.encode(values, rows, cols);
    const squares = sumOfSquares(values);
    const meanSquare = values.slice(0, cols);
    const { matrix, beside } = await unpackQuantized(format, await packQuantized(quantizedWhole(format, encoded, squares), { meanSquare }));
    assert.deepEqual(await matrix.read(0, rows), encoded);
    assert.deepEqual(matrix.stats(), { squaredError: encoded.squaredError, sumOfSquares: squares });
    assert.deepEqual(beside.meanSquare, meanSquare);
  });
}
