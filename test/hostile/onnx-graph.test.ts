/** ONNX graphs that are well-formed, and made to grow or to hang whoever follows shapes and folds constants. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openOnnx } from '../../src/files/onnx.ts';
import { memorySource } from '../../src/files/source.ts';
import { foldConstants } from '../../src/graph/constant-fold.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { upgradeOpset } from '../../src/graph/upgrade.ts';
import { bodyAttribute, floatWeight, graph, int64Weight, intAttribute, intsAttribute, model, node, num, relu, sub, type Bytes } from './onnx-bytes.ts';

/** As `quantize` takes a graph: brought up to date, folded, its matrices read. */
async function taken(...fields: Bytes[]): Promise<Graph> {
  const opened = await openOnnx(memorySource('hostile.onnx', model(graph(...fields))));
  const folded = await foldConstants(await upgradeOpset(opened));
  for (const site of linearSites(folded, { gather: true })) {
    assert.ok(site.rows * site.cols <= 20_000, `${site.rows} rows of ${site.cols}`);
    assert.equal((await site.readRows(0, site.rows)).length, site.rows * site.cols);
  }
  for (const weight of folded.weights.values()) assert.equal((await weight.read()).byteLength, weight.byteLength);
  return folded;
}

const steps = Array.from({ length: 40 }, (_, i) => i);
const product = node('MatMul', ['x', 'z'], ['y']);

/** If inside If inside If …, with a second branch at each level. */
function nested(depth: number): Bytes {
  const tiny: Bytes = [...relu('x', 'e'), ...sub(12, sub(1, 'e'))];
  let body: Bytes = [...relu('x', 'b'), ...sub(12, sub(1, 'b'))];
  for (let i = 0; i < depth; i++) body = [...node('If', ['c'], [`b${i}`], bodyAttribute('then_branch', body), bodyAttribute('else_branch', tiny)), ...sub(12, sub(1, `b${i}`))];
  return node('If', ['c'], ['y'], bodyAttribute('then_branch', body), bodyAttribute('else_branch', tiny));
}
const condition = sub(5, num(2, 9), sub(8, 'c'), sub(9, [1]));

const cases: readonly (readonly [name: string, ...fields: Bytes[]])[] = [
  ['branches 15 deep', condition, nested(14)],
  ['a rank that doubles 40 times', floatWeight('m', [1, 1]), node('Add', ['x', 'm'], ['g0']), ...steps.map((i) => node('Gather', [`g${i}`, `g${i}`], [`g${i + 1}`])), relu('g40')],
  ['a shape whose length doubles 40 times', int64Weight('s0', [1, 1]), ...steps.map((i) => node('Concat', [`s${i}`, `s${i}`], [`s${i + 1}`], intAttribute('axis', 0))), node('Reshape', ['x', 's40'], ['y'])],
  ['a weight that doubles 40 times', floatWeight('s0', [4, 4]), ...steps.map((i) => node('Concat', [`s${i}`, `s${i}`], [`s${i + 1}`], intAttribute('axis', 0))), node('MatMul', ['x', 's40'], ['y'])],
  ['a weight that is joined with itself and halved 40 times', floatWeight('s0', [80, 80]), int64Weight('i', Array.from({ length: 80 }, (_, i) => i)),
    ...steps.flatMap((i) => [node('Concat', [`s${i}`, `s${i}`], [`c${i}`], intAttribute('axis', 0)), node('Gather', [`c${i}`, 'i'], [`s${i + 1}`])]), node('Add', ['x', 's40'], ['y'])],
  ['a slice of axis 10^9', int64Weight('b', [0]), int64Weight('e', [1]), int64Weight('a', [1e9]), node('Slice', ['x', 'b', 'e', 'a'], ['u']), node('Slice', ['u', 'b', 'e', 'a'], ['y'])],
  ['a resize of axis 4·10^9', int64Weight('e', [7]), node('Resize', ['x', '', '', 'e'], ['u'], intsAttribute('axes', [4e9])), node('Transpose', ['u'], ['y'])],
  ['padding of axis 4·10^9', int64Weight('p', [1, 1]), int64Weight('a', [4e9]), node('Pad', ['x', 'p', '', 'a'], ['u']), node('Transpose', ['u'], ['y'])],
  ['a constant of −1 entries', int64Weight('n', [-1]), node('ConstantOfShape', ['n'], ['u']), relu('u')],
  ['weights joined along axis 7', floatWeight('w', [4, 4]), node('Concat', ['w', 'w'], ['z'], intAttribute('axis', 7)), product],
  ['weights joined that do not fit', floatWeight('w', [4, 4]), floatWeight('v', [4, 3]), node('Concat', ['w', 'v'], ['z'], intAttribute('axis', 0)), product],
  ['a permutation of axes that are not there', floatWeight('w', [4, 4]), node('Transpose', ['w'], ['z'], intsAttribute('perm', [9, 0])), product],
  ['a permutation that repeats an axis', floatWeight('w', [4, 2]), node('Transpose', ['w'], ['z'], intsAttribute('perm', [0, 0])), product],
  ['a reshape to more values', floatWeight('w', [4, 4]), int64Weight('s', [400, 400]), node('Reshape', ['w', 's'], ['z']), product],
  ['a reshape to negative sizes', floatWeight('w', [4, 4]), int64Weight('s', [-4, -4]), node('Reshape', ['w', 's'], ['z']), product],
  ['entries of axis 5', floatWeight('w', [4, 4]), int64Weight('s', [0]), node('Gather', ['w', 's'], ['z'], intAttribute('axis', 5)), product],
  ...[0, 3, -1, 1e9].map((groups) => [`a transposed convolution of ${groups} groups`, floatWeight('w', [4, 2, 3, 3]), node('ConvTranspose', ['x', 'w'], ['y'], intAttribute('group', groups))] as const),
];

for (const [name, ...fields] of cases) {
  test(`takes ${name} in bounded time and memory`, { timeout: 20_000 }, async () => {
    const start = process.cpuUsage();
    const { nodes } = await taken(...fields);
    assert.ok(nodes.length > 0);
    const { user, system } = process.cpuUsage(start);
    assert.ok(user + system < 2e6, `took ${((user + system) / 1e6).toFixed(1)} s`);
    assert.ok(process.resourceUsage().maxRSS < 500 * 1024, `peak ${process.resourceUsage().maxRSS} kB`);
  });
}

test('every operator without inputs is taken', async () => {
  const operators = ['Concat', 'Transpose', 'Gather', 'Add', 'Reshape', 'Cast', 'Conv', 'Gemm', 'MatMul', 'Slice', 'Resize', 'Pad', 'Clip', 'Dropout', 'Softmax', 'Flatten', 'Squeeze', 'Unsqueeze',
    'Split', 'TopK', 'BatchNormalization', 'LSTM', 'If', 'Loop', 'Tile', 'Expand', 'OneHot', 'Range', 'Where', 'Shape', 'ConstantOfShape', 'Upsample', 'DFT'];
  await taken(...operators.map((op, i) => node(op, [], [`n${i}`])), relu());
});

test('folded operators with one input too few are taken', async () => {
  await taken(floatWeight('w', [4, 4]), ...['Add', 'Sub', 'Mul', 'Div', 'Gather', 'Reshape', 'Concat', 'Squeeze'].map((op, i) => node(op, ['w'], [`n${i}`])), relu());
});

test('movements that exporters leave are still folded', async () => {
  const folded = await taken(
    floatWeight('w', [4, 2]), int64Weight('s', [-1, 4]), node('Transpose', ['w'], ['t']), node('Concat', ['t', 't'], ['j'], intAttribute('axis', 0)), node('Reshape', ['j', 's'], ['r']),
    node('Transpose', ['r'], ['z']), product,
  );
  assert.deepEqual(folded.nodes.map(({ op }) => op), ['MatMul']);
});
