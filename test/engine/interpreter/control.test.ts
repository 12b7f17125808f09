import { test } from 'node:test';
import { GraphBuilder, int, ints, subgraph } from '../../../src/graph/build.ts';
import { agree, f32, random, scalar } from './against-ort.ts';

test('If runs the branch that its condition names, over values around it', async () => {
  const g = new GraphBuilder('if');
  const x = g.input('x', 'f32', [3]);
  const condition = g.input('condition', 'bool', []);
  const branch = (op: string) => {
    const body = new GraphBuilder(op, 21, g);
    body.output(body.op(op, [x]), `${op}_y`, 'f32', [3]);
    return subgraph(body.graph());
  };
  g.output(g.op('If', [condition], { then_branch: branch('Exp'), else_branch: branch('Neg') }), 'y', 'f32', [3]);
  for (const chosen of [0, 1]) await agree(g.graph(), { x: random([3]), condition: scalar('bool', chosen) });
});

test('Loop carries values, stacks others and stops on its condition or its count', async () => {
  const g = new GraphBuilder('loop');
  const [trips, start, step] = [g.input('trips', 'i64', []), g.input('start', 'f32', [2]), g.input('step', 'f32', [2])];
  const body = new GraphBuilder('body', 21, g);
  body.input('i', 'i64', []);
  body.input('go', 'bool', []);
  const next = body.op('Add', [body.input('carried', 'f32', [2]), step]);
  const small = body.op('Less', [body.op('ReduceMax', [next], { keepdims: int(0) }), body.floats(5)]);
  body.output(small, 'again', 'bool', []);
  body.output(next, 'next', 'f32', [2]);
  body.output(body.op('Mul', [next, next]), 'square', 'f32', [2]);
  body.output(body.op('Neg', [next]), 'negative', 'f32', [2]);
  const [last, squares, negatives] = g.op('Loop', [trips, '', start], { body: subgraph(body.graph()) }, { outputs: 3 });
  g.output(last, 'last', 'f32', [2]);
  g.output(squares, 'squares', 'f32', ['n', 2]);
  g.output(negatives, 'negatives', 'f32', ['n', 2]);
  for (const count of [0, 2, 100]) await agree(g.graph(), { trips: scalar('i64', count), start: f32(0, 1), step: f32(1, 1.5) });
});

test('Loop keeps its carried values apart', async () => {
  const g = new GraphBuilder('fibonacci');
  const body = new GraphBuilder('body', 21, g);
  body.input('i', 'i64', []);
  body.output(body.input('go', 'bool', []), 'again', 'bool', []);
  const [a, b] = [body.input('a', 'i64', []), body.input('b', 'i64', [])];
  body.output(b, 'next_a', 'i64', []);
  body.output(body.op('Add', [a, b]), 'next_b', 'i64', []);
  const start = [g.input('first', 'i64', []), g.input('second', 'i64', [])];
  const [x, y] = g.op('Loop', [g.input('trips', 'i64', []), '', ...start], { body: subgraph(body.graph()) }, { outputs: 2 });
  g.output(x, 'x', 'i64', []);
  g.output(y, 'y', 'i64', []);
  await agree(g.graph(), { trips: scalar('i64', 10), first: scalar('i64', 0), second: scalar('i64', 1) });
});

test('Scan walks along axes in both directions', async () => {
  const g = new GraphBuilder('scan');
  const [state, x] = [g.input('state', 'f32', [2]), g.input('x', 'f32', [2, 5])];
  for (const backwards of [0, 1]) {
    const body = new GraphBuilder(`body${backwards}`, 21, g);
    const next = body.op('Add', [body.input(`s${backwards}`, 'f32', [2]), body.input(`e${backwards}`, 'f32', [2])]);
    body.output(next, `next${backwards}`, 'f32', [2]);
    body.output(body.op('Neg', [next]), `each${backwards}`, 'f32', [2]);
    const [last, all] = g.op('Scan', [state, x], {
      body: subgraph(body.graph()), num_scan_inputs: int(1), scan_input_axes: ints([1]), scan_input_directions: ints([backwards]),
      scan_output_axes: ints([backwards]), scan_output_directions: ints([backwards]),
    }, { outputs: 2 });
    g.output(last, `last${backwards}`, 'f32', [2]);
    g.output(all, `all${backwards}`, 'f32', ['a', 'b']);
  }
  await agree(g.graph(), { state: f32(1, 2), x: random([2, 5]) });
});

test('values stacked from nothing have the declared shape', async () => {
  const g = new GraphBuilder('empty');
  const body = new GraphBuilder('body', 21, g);
  const i = body.input('i', 'i64', []);
  body.output(body.input('go', 'bool', []), 'again', 'bool', []);
  body.output(body.op('Unsqueeze', [i, body.ints([0])]), 'row', 'i64', [1]);
  g.output(g.op('Loop', [g.input('trips', 'i64', []), g.input('go', 'bool', [])], { body: subgraph(body.graph()) }), 'rows', 'i64', ['n', 1]);
  for (const go of [0, 1]) await agree(g.graph(), { trips: scalar('i64', 3), go: scalar('bool', go) });
});
