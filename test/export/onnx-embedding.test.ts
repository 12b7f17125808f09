/** Embedding tables as codes: one copy for the lookup and for the head that is tied to it, in both engines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as web from 'onnxruntime-web';
import { ortNode } from '../../src/engine/ort-node.ts';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { exportHalf } from '../../src/export/onnx-half.ts';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder, ints } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { inferTypes } from '../../src/graph/infer.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { lowBitTables } from '../../src/jobs/targets/onnx-tables.ts';
import { schemeForBits } from '../../src/jobs/schemes.ts';
import { normal } from '../../src/numeric/random.ts';
import { quantizedLazily } from '../../src/round/quantized-matrix.ts';

const rows = 50;
const cols = 96;
const table = Float32Array.from({ length: rows * cols }, (_, i) => 0.1 * normal(3, 0, i));

/** ids [batch, n] to the table's rows, and to their products with every row. */
function tied(): Graph {
  const g = new GraphBuilder('tied', 21);
  const ids = g.input('ids', 'i64', ['batch', 'n']);
  const weight = g.weight(floatTensor('embed', [rows, cols], table));
  const found = g.op('Gather', [weight, ids]);
  g.output(g.op('MatMul', [found, g.op('Transpose', [weight], { perm: ints([1, 0]) })], {}, { name: '/head/MatMul' }), 'logits', 'f32', ['batch', 'n', rows]);
  g.output(found, 'rows', 'f32', ['batch', 'n', cols]);
  return g.graph();
}

const tableSite = (graph: Graph) => linearSites(graph, { gather: true }).find(({ kind }) => kind === 'Gather')!;
const ids: Tensor = { type: 'i64', shape: [1, 3], data: BigInt64Array.of(3n, 49n, 0n) };
const picked = [3, 49, 0];

for (const engine of [ortNode, ortWeb(web as unknown as OrtWebModule)]) {
  for (const [spelling, compute] of [['int8/g32', 'f32'], ['int4/g32', 'f32'], ['int2/g32', 'f32'], ['int8/g32', 'f16'], ['int4/g16', 'f16']] as const) {
    test(`${engine.name} reads a tied table in ${spelling} once, for both of its readers, in ${compute}`, async () => {
      const graph = tied();
      const site = tableSite(graph);
      const format = parseFormat(spelling);
      const decoded = format.decode(await quantizedLazily(site, format).read(0, rows));
      const low = await exportWeightOnly(graph, new Map([['embed', quantizedLazily(site, format)]]), { accuracyLevel: 0 });
      const written = compute === 'f16' ? (await exportHalf(low.graph)).graph : low.graph;
      const large = [...written.weights.values()].filter(({ byteLength }) => byteLength >= (rows * cols * format.bits) / 8);
      assert.equal(large.length, 1, 'one tensor holds the codes');
      assert.equal(written.nodes.filter(({ inputs }) => inputs.includes(large[0].name)).length, 2);
      const session = await engine.open({ bytes: await onnxBytes(written) });
      const results = await session.run({ ids });
      await session.dispose();
      const tolerance = compute === 'f16' ? 2e-3 : 1e-6;
      picked.forEach((row, i) => {
        for (let c = 0; c < cols; c++) assert.ok(Math.abs((results.rows.data as Float32Array)[i * cols + c] - decoded[row * cols + c]) <= tolerance);
        for (let r = 0; r < rows; r++) {
          let product = 0;
          for (let c = 0; c < cols; c++) product += decoded[row * cols + c] * decoded[r * cols + c];
          assert.ok(Math.abs((results.logits.data as Float32Array)[i * rows + r] - product) <= 5 * tolerance, `logit ${r}`);
        }
      });
    });
  }
}

test('the shape of a lookup counts the codes in a byte', async () => {
  const graph = tied();
  const { graph: low } = await exportWeightOnly(graph, new Map([['embed', quantizedLazily(tableSite(graph), parseFormat('int4/g32'))]]));
  const typed = await inferTypes(low);
  const lookup = low.nodes.find(({ op }) => op === 'GatherBlockQuantized')!;
  assert.deepEqual(typed.values.get(lookup.outputs[0])!.shape, ['batch', 'n', 3, 32]);
});

test('a table whose codes have zero points stays float, and is named', async () => {
  const graph = tied();
  const { graph: low, notes } = await exportWeightOnly(graph, new Map([['embed', quantizedLazily(tableSite(graph), parseFormat('uint4/g32'))]]));
  assert.deepEqual(low.nodes.map(({ op }) => op), graph.nodes.map(({ op }) => op));
  assert.match(notes[0].text, /^embed: a table in uint4\/g32 has no lookup in ONNX Runtime and stays float$/);
});

test('tables of language models take 8 bits, and stay float by the name of the table or of the head', () => {
  const graph = tied();
  const scheme = schemeForBits(4, 'onnx', 'lm');
  assert.deepEqual([...lowBitTables({ kind: 'lm', graph }, scheme, [])].map(([id, { format, tied: shared }]) => [id, format, shared]), [['embed', 'int8/g32', true]]);
  for (const keep of ['embed', '*head*']) assert.equal(lowBitTables({ kind: 'lm', graph }, scheme, [keep]).size, 0);
  assert.equal(lowBitTables({ kind: 'onnx', graph }, scheme, []).size, 0);
  assert.equal(lowBitTables({ kind: 'lm', graph }, schemeForBits(16, 'onnx', 'lm'), []).size, 0);
});
