/** Lifted inputs, searched smoothing and low-rank branches: values worked out by hand, and layers whose outliers are known. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { exportWithInputs } from '../../src/export/onnx-activations.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder, int, string } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { readFloats } from '../../src/graph/values.ts';
import { normal } from '../../src/numeric/random.ts';
import { svd } from '../../src/numeric/svd.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { svdquant } from '../../src/recipes/svdquant.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { layerEnergy, layerError, openProducts, rounded, type SharedLayers } from '../../src/transform/layer-error.ts';
import { leadingBranch, splitLowRank, withoutBranch } from '../../src/transform/low-rank.ts';
import { geluShift, shiftedBias, shiftInputs } from '../../src/transform/shift.ts';
import { searchSmoothing, smoothCandidates, smoothed, smoothFactors } from '../../src/transform/smooth-search.ts';
import { valueFloor } from '../../src/transform/value-floor.ts';

const products = await openProducts(ortNode);
after(() => products.dispose());
const int4 = parseFormat('int4/g64');
const norm = (values: ArrayLike<number>): number => Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0));

test('codes reach from −7 to 7 and ties go to even', () => {
  assert.deepEqual([...rounded(Float32Array.of(0.875, 0.625, 0.125, -1.75), 1, 4, int4)], [1, 0.5, 0, -1.75]);
  assert.equal(parseFormat('int4/g64@f16').bitsPerWeight(64, 128), 4.25);
});

test('factors are a^α / w^β, over 39 candidates', () => {
  assert.deepEqual([...smoothFactors([8, 2], [0.5, 2], { alpha: 0.5, beta: 0.5 })], [4, 1]);
  assert.deepEqual([...smoothFactors([0, 4], [1, 1], { alpha: 0.5, beta: 0 })], [1, 2]);
  assert.deepEqual([...smoothFactors([4, 4], [0, 1], { alpha: 0.5, beta: 0.5 })], [1, 1]);
  assert.equal(smoothCandidates(20).length, 39);
});

test('a lifted input changes the bias by what its columns sum to', () => {
  assert.deepEqual([...shiftedBias(Float32Array.of(1, 2, -4), 1, 3, geluShift)], [0.171875]);
});

test('a branch of rank one leaves what Eckart and Young say', async () => {
  const wide = Float32Array.of(4, 8, 0, 2, 4, 1);
  const branch = await leadingBranch(products, [wide], 3, 1);
  assert.ok(Math.abs(norm(withoutBranch(wide, 3, branch, branch.ups[0])) - 0.893527) < 1e-6);
  const square = Float32Array.of(10, 0.6, 0.6, 0.5);
  const tensor = parseFormat('int4/tensor');
  const { s } = svd(square, 2, 2);
  assert.ok(Math.abs(s[0] - 10.037745) < 1e-6 && Math.abs(s[1] - 0.462255) < 1e-6);
  const direct = rounded(square, 2, 2, tensor);
  assert.ok(Math.abs(norm(direct.map((v, i) => v - square[i])) - 0.984886) < 1e-6);
  const split = await leadingBranch(products, [square], 2, 1);
  const rest = withoutBranch(square, 2, split, split.ups[0]);
  const codes = tensor.encode(rest, 2, 2);
  assert.deepEqual([...codes.codes].map(Math.abs), [0, 0, 0, 7]);
  assert.ok(Math.abs(norm(tensor.decode(codes).map((v, i) => v - rest[i])) - 0.041003) < 1e-6);
});

/** Normal values, one input channel in 32 twenty times as large. */
function outliers(seed: number, count = 256, cols = 256, rows = 128): SharedLayers {
  const values = Float32Array.from({ length: count * cols }, (_, i) => normal(seed, 0, i) * (i % 32 === 5 ? 20 : 1));
  const maxAbsolute = new Float32Array(cols);
  values.forEach((v, i) => { maxAbsolute[i % cols] = Math.max(maxAbsolute[i % cols], Math.abs(v)); });
  return { rows: { values, count, cols, maxAbsolute }, input: int4, layers: [{ values: Float32Array.from({ length: rows * cols }, (_, i) => normal(seed, 1, i)), rows, format: int4 }] };
}

test('on a layer with outliers each part of the method lowers the error, and the branch asks for stronger smoothing', async () => {
  const shared = outliers(1);
  const { values, rows, format } = shared.layers[0];
  const energy = await layerEnergy(products, shared);
  const relative = (error: number): number => Math.sqrt(error / energy);
  const nearest = relative(await layerError(products, shared, [values], [rounded(values, rows, 256, format)]));
  const alone = relative((await splitLowRank(products, shared, 8, 1)).errors[0]);
  const smooth = await searchSmoothing(products, shared, { grid: 10, rank: 0 });
  const chosen = await searchSmoothing(products, shared, { grid: 10, rank: 8 });
  const split = await splitLowRank(products, smoothed(shared, chosen.factors), 8, 12);
  // The card's figures for this layer, of another generator: 0.22, 0.21, 0.11, 0.042, 0.040.
  assert.ok(nearest > 0.2 && nearest < 0.25, `${nearest}`);
  assert.ok(alone < nearest && alone > 0.19, `${alone}`);
  assert.ok(relative(smooth.error) > 0.09 && relative(smooth.error) < 0.13, `${relative(smooth.error)}`);
  assert.ok(relative(split.errors[0]) < 0.06, `${relative(split.errors[0])}`);
  assert.ok(Math.min(...split.errors) < split.errors[0]);
  assert.ok(chosen.alpha > smooth.alpha, `${chosen.alpha} against ${smooth.alpha}`);
});

test('a branch of full rank leaves what half precision does not hold', async () => {
  const shared = outliers(2, 32, 32, 32);
  const { errors } = await splitLowRank(products, shared, 32, 1);
  assert.ok(Math.sqrt(errors[0] / (await layerEnergy(products, shared))) < 2 ** -11);
});

/** x → activation → Gemm → y. */
function layer(activation: (g: GraphBuilder, x: string) => string, cols = 64, rows = 64): Graph {
  const g = new GraphBuilder('layer', 21);
  const wave = (length: number, step: number): Float32Array => Float32Array.from({ length }, (_, i) => normal(9, step, i) * (step === 0 && i % cols === 3 ? 12 : 1));
  const x = g.op('MatMul', [g.input('x', 'f32', ['N', cols]), g.weight(floatTensor('first', [cols, cols], Float32Array.from({ length: cols * cols }, (_, i) => (i % (cols + 1) === 0 ? 1 : 0))))]);
  g.output(g.op('Gemm', [activation(g, x), g.weight(floatTensor('w', [rows, cols], wave(rows * cols, 1))), g.weight(floatTensor('b', [rows], wave(rows, 2)))], { transB: int(1) }), 'y', 'f32', ['N', rows]);
  return g.graph();
}

const geluByTanh = (g: GraphBuilder, x: string): string => {
  const inner = g.op('Mul', [g.floats(Math.sqrt(2 / Math.PI)), g.op('Add', [x, g.op('Mul', [g.floats(0.044715), g.op('Mul', [x, g.op('Mul', [x, x])])])])]);
  return g.op('Mul', [g.floats(0.5), g.op('Mul', [x, g.op('Add', [g.floats(1), g.op('Tanh', [inner])])])]);
};
const silu = (g: GraphBuilder, x: string): string => g.op('Mul', [x, g.op('Sigmoid', [x])]);

test('GELU has a floor in every form it is written in; SiLU lies too deep', async () => {
  const floorOf = async (activation: (g: GraphBuilder, x: string) => string): Promise<number | undefined> => {
    const graph = layer(activation);
    return valueFloor(graph, linearSites(graph).at(-1)!.input, geluShift);
  };
  for (const form of [geluByTanh, (g: GraphBuilder, x: string) => g.op('Gelu', [x], { approximate: string('none') })]) {
    assert.ok(Math.abs((await floorOf(form))! + 0.17) < 1e-4);
  }
  assert.equal(await floorOf((g, x) => g.op('Relu', [x])), 0);
  assert.equal(await floorOf(silu), undefined);
  assert.equal(await floorOf((_, x) => x), undefined);
});

test('lifting keeps the function, and makes what the layer reads non-negative', async () => {
  const graph = layer(geluByTanh);
  const { graph: lifted, unsigned } = await shiftInputs(graph);
  assert.equal(unsigned.size, 1);
  assert.ok(linearSites(lifted).some(({ input }) => unsigned.has(input)));
  assert.equal((await shiftInputs(layer(silu))).graph.nodes.length, layer(silu).nodes.length);
});

for (const format of ['int4/g64', 'nvfp4']) {
  test(`the written graph in ${format} computes B·A·x̂ + Q(x̂)·Q(R)ᵀ + b′`, async () => {
    const graph = layer(geluByTanh);
    const x = f32([48, 64], Float32Array.from({ length: 48 * 64 }, (_, i) => normal(4, 0, i) * (i % 64 === 3 ? 12 : 1)));
    const wanted = parseFormat(format);
    const applied = await applyRecipe(svdquant, graph, {
      engine: ortNode, batches: () => [{ x }],
      formatOf: ({ id }) => (id === 'w' ? wanted : undefined), activationOf: ({ id }) => (id === 'w' ? wanted : undefined),
    });
    const { activations, weights, kept } = applied;
    const site = linearSites(applied.graph).find(({ id }) => id === 'w')!;
    assert.equal(activations.get(site.output)!.name, format === 'nvfp4' ? 'nvfp4' : 'uint4/g64');
    assert.equal(kept.size, 2);
    const run = async (which: Graph, fetches: readonly string[]) => {
      const session = await openGraph({ ...which, outputs: fetches.map((name) => ({ name, type: 'f32', shape: undefined })) }, ortNode);
      const found = await session.run({ x }, fetches);
      await session.dispose();
      return found;
    };
    const seen = (await run(applied.graph, [site.input]))[site.input].data as Float32Array;
    const input = rounded(seen, 48, 64, activations.get(site.output));
    const weight = weights.get('w')!.format.decode(await weights.get('w')!.read(0, 64));
    const transposed = (values: Float32Array, rows: number): Float32Array => values.map((_, i) => values[(i % rows) * (values.length / rows) + Math.floor(i / rows)]);
    const [down, up] = await Promise.all([...kept].map(async (id) => {
      const tensor = applied.graph.weights.get(id)!;
      assert.equal(tensor.type, 'f16');
      return transposed(await readFloats(tensor), tensor.shape[0]);
    }));
    const bias = await readFloats(applied.graph.weights.get(site.bias!.name)!);
    const written = (await run((await exportWithInputs(applied.graph, weights, activations)).graph, ['y'])).y.data as Float32Array;
    for (let t = 0; t < 48; t++) {
      for (let r = 0; r < 64; r++) {
        let sum = bias[r];
        for (let c = 0; c < 64; c++) sum += input[t * 64 + c] * weight[r * 64 + c];
        for (let k = 0; k < down.length / 64; k++) {
          let low = 0;
          for (let c = 0; c < 64; c++) low += down[k * 64 + c] * seen[t * 64 + c];
          sum += low * up[r * (down.length / 64) + k];
        }
        assert.ok(Math.abs(written[t * 64 + r] - sum) < 2e-4 * (1 + Math.abs(sum)), `${written[t * 64 + r]} is not ${sum}`);
      }
    }
  });
}
