import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { openOnnx, openOnnxModel, onnxBytes, writeOnnx } from '../../src/files/onnx.ts';
import { memorySink, memorySource, type Folder } from '../../src/files/source.ts';
import { byteLengthOf, elementTypes, memoryTensor, type ElementType, type TensorRef } from '../../src/tensor-ref.ts';
import { GraphBuilder, float, floats, int, ints, int64Tensor, string, strings, subgraph, tensor } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { readFloats, readNumbers } from '../../src/graph/values.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { fixed32, graph as graphField, model, num, relu, sub, varint, weighted } from '../hostile/onnx-bytes.ts';

const open = (bytes: Uint8Array, folder?: Folder) => openOnnx(memorySource('test.onnx', bytes), folder);
const mnist = new URL('../fixtures/mnist.onnx', import.meta.url);
const image = f32([1, 1, 28, 28], Float32Array.from({ length: 784 }, (_, i) => (i * 37) % 256));

async function run(bytes: Uint8Array, feeds: Record<string, ReturnType<typeof f32>>) {
  const session = await ortNode.open({ bytes });
  const result = await session.run(feeds);
  await session.dispose();
  return result;
}

test('a written copy of a trained network gives the same outputs, and its copy the same bytes', async () => {
  const original = new Uint8Array(await readFile(mnist));
  const graph = await open(original);
  const copy = await onnxBytes(graph);
  const [before, after] = [await run(original, { Input3: image }), await run(copy, { Input3: image })];
  assert.deepEqual(after.Plus214_Output_0.data, before.Plus214_Output_0.data);
  assert.deepEqual(await onnxBytes(await open(copy)), copy);
});

test('weights that old files list among the inputs are weights only', async () => {
  const graph = await open(new Uint8Array(await readFile(mnist)));
  assert.deepEqual(graph.inputs.map((input) => input.name), ['Input3']);
  assert.equal(graph.weights.size, 8);
  assert.equal(graph.opset.get(''), 8);
});

/** An identity on one float, with a weight of every kind of attribute around it. */
function everything(): Graph {
  const g = new GraphBuilder('everything', 21);
  const x = g.input('x', 'f32', ['batch', undefined, 3]);
  g.weight(int64Tensor('axes', [0, -1]));
  g.metadata.set('author', 'Zoë');
  const y = g.op('Custom', [x, '', 'axes'], {
    i: int(-5), f: float(0.1), s: string('größe'), is: ints([1, -2, 2 ** 40]), fs: floats([0.5, -1]), ss: strings(['a', '']),
    empty: ints([]), t: tensor(memoryTensor('t', 'u8', [2, 1], Uint8Array.of(7, 9))), end: int(2 ** 63),
  }, { domain: 'test.domain', outputs: ['y'], name: 'node' });
  const body = new GraphBuilder('body', 21, g);
  body.output(body.op('Neg', [y], {}, { outputs: ['inner'] }), 'inner', 'f32');
  g.output(g.op('If', ['x'], { then_branch: subgraph(body.graph()) }, { outputs: ['z'] }), 'z', 'f32', ['batch', 2, 3]);
  return g.graph();
}

test('every kind of attribute, dimension and text survives writing and reading', async () => {
  const graph = everything();
  const back = await open(await onnxBytes(graph));
  const plain = ({ nodes, inputs, outputs, metadata, opset }: Graph) => ({
    inputs, outputs, metadata: [...metadata], opset: [...opset],
    nodes: nodes.map((node) => ({ ...node, attributes: Object.fromEntries(Object.entries(node.attributes).filter(([, a]) => a.kind !== 'tensor' && a.kind !== 'graph')) })),
  });
  assert.deepEqual(plain(back), plain(graph));
  const attribute = back.nodes[0].attributes.t;
  assert.ok(attribute.kind === 'tensor');
  assert.deepEqual([attribute.value.type, attribute.value.shape, [...await attribute.value.read()]], ['u8', [2, 1], [7, 9]]);
  const branch = back.nodes[1].attributes.then_branch;
  assert.ok(branch.kind === 'graph');
  assert.equal(branch.value.nodes[0].op, 'Neg');
});

test('a tensor of every element type comes back byte for byte, inside the file and beside it', async () => {
  const weights = (Object.keys(elementTypes) as ElementType[]).map((type) => {
    const bytes = Uint8Array.from({ length: byteLengthOf(type, [3, 5]) }, (_, i) => (type === 'bool' ? i % 2 : (i * 7) % 128));
    return memoryTensor(`w_${type}`, type, [3, 5], bytes);
  });
  const g = new GraphBuilder('types', 21);
  for (const weight of weights) g.weight(weight);
  g.output(g.op('Identity', [g.input('x', 'f32', [1])]), 'y', 'f32', [1]);
  const [file, data] = [memorySink(), memorySink()];
  await writeOnnx(g.graph(), file, { external: { location: 'data.bin', sink: data, threshold: 16 } });
  const folder: Folder = {
    name: 'memory', list: async () => ['data.bin'], has: async (name) => name === 'data.bin', open: async () => memorySource('data.bin', data.bytes()),
  };
  const opened = await openOnnxModel(memorySource('types.onnx', file.bytes()), folder);
  assert.deepEqual(opened.externalFiles, ['data.bin']);
  for (const back of [await open(await onnxBytes(g.graph())), opened.graph]) {
    for (const weight of weights) {
      const found = back.weights.get(weight.name)!;
      assert.deepEqual([found.type, found.shape], [weight.type, weight.shape]);
      assert.deepEqual(new Uint8Array(await found.read()), new Uint8Array(await weight.read()), weight.name);
    }
  }
});

const weightOf = async (...fields: Parameters<typeof weighted>): Promise<TensorRef> => (await open(weighted(sub(8, 'w'), ...fields))).weights.get('w')!;

test('reads values from every typed field, packed or one by one', async () => {
  const floatBytes = [...new Uint8Array(Float32Array.of(1.5, -2).buffer)];
  assert.deepEqual(await readNumbers(await weightOf(num(1, 2), num(2, 1), sub(4, floatBytes))), [1.5, -2]);
  assert.deepEqual(await readNumbers(await weightOf(num(1, 2), num(2, 1), fixed32(4, 1.5), fixed32(4, -2))), [1.5, -2]);
  assert.deepEqual(await readNumbers(await weightOf(sub(1, [2]), num(2, 7), sub(7, varint(2n ** 40n), varint(-1)))), [2 ** 40, -1]);
  assert.deepEqual(await readNumbers(await weightOf(num(1, 3), num(2, 3), sub(5, varint(-128), varint(127)), num(5, -1))), [-128, 127, -1]);
  assert.deepEqual(await readNumbers(await weightOf(num(1, 2), num(2, 12), sub(11, varint(2 ** 32 - 1), [0]))), [2 ** 32 - 1, 0]);
  assert.deepEqual(await readNumbers(await weightOf(num(1, 2), num(2, 10), sub(5, varint(0x3c00), varint(0xc000)))), [1, -2]);
  assert.deepEqual(await readNumbers(await weightOf(num(1, 1), num(2, 11), sub(10, [...new Uint8Array(Float64Array.of(0.1).buffer)]))), [0.1]);
  assert.deepEqual([...await (await weightOf(num(1, 3), num(2, 22), sub(5, varint(0x21), varint(0x03)))).read()], [0x21, 3]);
});

test('a value outside of its type in int32_data is refused when it is read', async () => {
  const weight = await weightOf(num(1, 1), num(2, 2), sub(5, varint(256)));
  await assert.rejects(weight.read(), /256 is not a value of u8/);
});

test('any range of a tensor kept as varints equals that part of the whole', async () => {
  const values = Array.from({ length: 500 }, (_, i) => ((i * 7919) % 4001) - 2000);
  const weight = await weightOf(num(1, 500), num(2, 6), sub(5, ...values.slice(0, 123).map(varint)), sub(5, ...values.slice(123).map(varint)));
  const whole = await weight.read();
  assert.deepEqual(await readNumbers(weight), values);
  await fc.assert(fc.asyncProperty(fc.nat(2000), fc.nat(2000), async (a, b) => {
    const [begin, end] = [Math.min(a, b), Math.max(a, b)];
    assert.deepEqual(await weight.read(begin, end), whole.slice(begin, end));
  }), { numRuns: 50, seed: 1 });
});

test('Constant nodes become weights, whatever attribute holds the value', async () => {
  const constant = (output: string, ...fields: Parameters<typeof sub>[1][]) => sub(1, sub(2, output), sub(4, 'Constant'), sub(5, ...fields));
  const graph = await open(model(graphField(
    constant('i', sub(1, 'value_int'), num(3, 7), num(20, 2)), constant('fs', sub(1, 'value_floats'), fixed32(7, 2.5), num(20, 6)),
    constant('t', sub(1, 'value'), sub(5, num(1, 1), num(2, 7), sub(7, [9])), num(20, 4)), relu(),
  )));
  assert.deepEqual(graph.nodes.map((node) => node.op), ['Relu']);
  assert.deepEqual([graph.weights.get('i')!.shape, graph.weights.get('fs')!.shape, graph.weights.get('t')!.shape], [[], [1], [1]]);
  assert.deepEqual(await readNumbers(graph.weights.get('i')!), [7]);
  assert.deepEqual(await readNumbers(graph.weights.get('fs')!), [2.5]);
  assert.deepEqual(await readNumbers(graph.weights.get('t')!), [9]);
});

test('nodes out of order are sorted', async () => {
  const graph = await open(model(graphField(relu('a', 'y'), relu('x', 'a'))));
  assert.deepEqual(graph.nodes.map((node) => node.outputs[0]), ['a', 'y']);
});

test('external data with the page-aligned offsets of the writer runs in the engine', async () => {
  const values = Float32Array.from({ length: 64 * 300 }, (_, i) => Math.fround(i / 1000));
  const g = new GraphBuilder('external', 21);
  const w = g.weight(memoryTensor('w', 'f32', [64, 300], new Uint8Array(values.buffer)));
  g.weight(memoryTensor('small', 'f32', [1], new Uint8Array(4)));
  g.output(g.op('MatMul', [g.input('x', 'f32', [1, 64]), w]), 'y', 'f32', [1, 300]);
  const [file, data] = [memorySink(), memorySink()];
  await writeOnnx(g.graph(), file, { external: { location: 'w.bin', sink: data } });
  assert.equal(data.bytes().byteLength, values.byteLength);
  assert.ok(file.bytes().byteLength < 1000);
  const x = f32([1, 64], Float32Array.from({ length: 64 }, (_, i) => (i === 2 ? 1 : 0)));
  const { y } = await run(await onnxBytes(g.graph()), { x });
  assert.deepEqual(y.data, values.slice(600, 900));
});

test('only the window that is asked for is read from a large weight', async () => {
  const bytes = new Uint8Array(40 * 1024 * 1024);
  const g = new GraphBuilder('large', 21);
  g.weight(memoryTensor('w', 'u8', [bytes.byteLength], bytes));
  g.output(g.op('Identity', [g.input('x', 'f32', [1])]), 'y', 'f32', [1]);
  const source = memorySource('large.onnx', await onnxBytes(g.graph()));
  let read = 0;
  const counted = { ...source, read: (begin: number, end: number) => { read += end - begin; return source.read(begin, end); } };
  const graph = await openOnnx(counted);
  assert.ok(read < 2 * 1024 * 1024, `${read} bytes`);
  const before = read;
  await graph.weights.get('w')!.read(1000, 2000);
  assert.equal(read - before, 1000);
});

test('writing refuses what has no place in the format', async () => {
  const g = new GraphBuilder('refused', 21);
  g.weight(memoryTensor('blocks', 'q4_0', [32], new Uint8Array(18)));
  g.output(g.op('Identity', [g.input('x', 'f32', [1])]), 'y');
  await assert.rejects(onnxBytes(g.graph()), /type q4_0 does not exist in ONNX/);
  const c = new GraphBuilder('composite', 21);
  c.output(c.op('Rounded', [c.input('x', 'f32', [1])], {}, { domain: 'fewbit' }), 'y');
  await assert.rejects(onnxBytes(c.graph()), /composite operator Rounded/);
});

test('a tensor that gives fewer bytes than it promised stops the file', async () => {
  const g = new GraphBuilder('short', 21);
  g.weight({ name: 'w', type: 'f32', shape: [4], byteLength: 16, read: async () => new Uint8Array(12) });
  g.output(g.op('Identity', [g.input('x', 'f32', [1])]), 'y');
  await assert.rejects(onnxBytes(g.graph()), /promised 16 bytes, gave 12/);
});

test('a unit that an interrupted run left whole is not made again', async () => {
  const g = new GraphBuilder('resumed', 21);
  let reads = 0;
  g.weight({ name: 'w', type: 'f32', shape: [4], byteLength: 16, read: async () => { reads++; return new Uint8Array(16); } });
  g.output(g.op('Identity', [g.input('x', 'f32', [1])]), 'y', 'f32', [1]);
  await writeOnnx(g.graph(), { ...memorySink(), resume: () => true });
  assert.equal(reads, 0);
});

test('the float values of a network read from a file are those of the engine', async () => {
  const graph = await open(new Uint8Array(await readFile(mnist)));
  const bias = await readFloats(graph.weights.get('Parameter194')!);
  const zero = await run(await onnxBytes({ ...graph, nodes: graph.nodes.filter((node) => node.outputs[0] === 'Plus214_Output_0'), inputs: [{ name: 'Times212_Output_0', type: 'f32', shape: [1, 10] }] }),
    { Times212_Output_0: f32([1, 10], new Float32Array(10)) });
  assert.deepEqual(zero.Plus214_Output_0.data, bias);
});
