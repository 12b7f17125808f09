import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bindFeeds, fixedBatch, mainOutput, numbersOf } from '../../src/evaluate/feeds.ts';
import type { Session } from '../../src/engine/session.ts';
import { f32, i64, type Tensor } from '../../src/engine/tensor.ts';
import type { ElementType } from '../../src/tensor-ref.ts';
import type { ValueInfo } from '../../src/graph/graph.ts';

const value = (name: string, type: ValueInfo['type'] = 'f32', shape: ValueInfo['shape'] = undefined): ValueInfo => ({ name, type, shape });
const session = (inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): Pick<Session, 'inputs' | 'outputs'> => ({ inputs, outputs });

test('inputs are bound by name, and what no input takes is left out', () => {
  const x = f32([1], Float32Array.of(1));
  assert.deepEqual(bindFeeds({ x, y: x }, [value('x')]), { x });
});

test('a lone tensor goes to the lone input whatever their names', () => {
  const x = f32([1], Float32Array.of(1));
  assert.deepEqual(bindFeeds({ input: x }, [value('pixel_values')]), { pixel_values: x });
  assert.throws(() => bindFeeds({ input: x }, [value('a'), value('b')]), { code: 'feeds.missing', message: 'the model\'s input a is not in the data (which has input)' });
  assert.throws(() => bindFeeds({ a: x, c: x }, [value('a'), value('b')]), { message: 'the model\'s input b is not in the data (which has a, c)' });
});

test('token ids give a decoder its mask, positions, cache switch and empty cache', () => {
  const input_ids = i64([2, 3], [5, 6, 7, 8, 9, 10]);
  const bound = bindFeeds({ input_ids }, [
    value('input_ids', 'i64'), value('attention_mask', 'i64'), value('position_ids', 'i64'), value('num_logits_to_keep', 'i64'), value('use_cache_branch', 'bool'),
    value('past_key_values.0.key', 'f32', ['batch', 4, 'past', 16]), value('past_key_values.0.value', 'f16', ['batch', 4, 'past', 16]),
  ]);
  assert.deepEqual(bound, {
    input_ids,
    attention_mask: i64([2, 3], [1, 1, 1, 1, 1, 1]),
    position_ids: i64([2, 3], [0, 1, 2, 0, 1, 2]),
    num_logits_to_keep: i64([], [0]),
    use_cache_branch: { type: 'bool', shape: [1], data: Uint8Array.of(0) },
    'past_key_values.0.key': f32([2, 4, 0, 16], new Float32Array(0)),
    'past_key_values.0.value': { type: 'f16', shape: [2, 4, 0, 16], data: new Uint16Array(0) },
  });
  assert.throws(() => bindFeeds({ input_ids }, [value('input_ids', 'i64'), value('token_type_ids', 'i64')]), { code: 'feeds.missing' });
});

test('a cache whose shape does not say heads and width is refused', () => {
  for (const shape of [['b', 'heads', 'past', 16], ['b', 4, 8, 16], ['b', 4]]) {
    assert.throws(() => bindFeeds({ input_ids: i64([1, 1], [0]) }, [value('past_key_values.0.key', 'f32', shape), value('input_ids', 'i64')]), {
      code: 'feeds.cacheShape', message: `input past_key_values.0.key: cache shape [${shape.join(', ')}] does not say heads and width`,
    });
  }
});

test('numbers take the element type of the input', () => {
  const bytes: Tensor = { type: 'u8', shape: [3], data: Uint8Array.of(0, 1, 255) };
  const as = (type: ElementType, from = bytes) => bindFeeds({ x: from }, [value('x', type)]).x;
  assert.deepEqual(as('f32'), f32([3], Float32Array.of(0, 1, 255)));
  assert.deepEqual(as('f64').data, Float64Array.of(0, 1, 255));
  // Half floats: 1 is 0x3c00; 255 is 1.9921875 · 2⁷, 0x5bf8.
  assert.deepEqual(as('f16').data, Uint16Array.of(0, 0x3c00, 0x5bf8));
  assert.deepEqual(as('i64'), i64([3], [0, 1, 255]));
  assert.deepEqual(as('i32').data, Int32Array.of(0, 1, 255));
  assert.deepEqual(as('bool').data, Uint8Array.of(0, 1, 1));
  assert.deepEqual(as('f32', i64([2], [-3, 7])).data, Float32Array.of(-3, 7));
  assert.deepEqual(as('f32', { type: 'f16', shape: [1], data: Uint16Array.of(0x3800) }).data, Float32Array.of(0.5));
  assert.equal(as('u8'), bytes);
});

test('fractions never become whole numbers, and texts never numbers', () => {
  const x = f32([1], Float32Array.of(1));
  assert.throws(() => bindFeeds({ x }, [value('x', 'i64')]), { code: 'feeds.noConversion', message: 'input x: f32 data do not convert to i64' });
  assert.throws(() => bindFeeds({ x }, [value('x', 'string')]), { code: 'feeds.noConversion' });
  assert.throws(() => bindFeeds({ x }, [value('x', 'bf16')]), { code: 'feeds.noConversion' });
  assert.throws(() => bindFeeds({ x: i64([1], [1]) }, [value('x', 'u16')]), { code: 'feeds.noConversion' });
});

for (const [type, low, high, make] of [['u8', 0, 255, Uint8Array], ['i8', -128, 127, Int8Array], ['i32', -(2 ** 31), 2 ** 31 - 1, Int32Array]] as const) {
  test(`whole numbers outside ${type} are refused, not wrapped`, () => {
    assert.deepEqual(bindFeeds({ x: i64([2], [low, high]) }, [value('x', type)]).x.data, make.of(low, high));
    for (const outside of [low - 1, high + 1]) {
      assert.throws(() => bindFeeds({ x: i64([1], [outside]) }, [value('x', type)]), {
        code: 'feeds.outOfRange', message: `input x: the value ${outside} does not fit into ${type}`,
      });
    }
  });
}

test('a tensor\'s values are numbers whatever its type', () => {
  assert.deepEqual(Array.from(numbersOf(i64([2], [-1, 2]))), [-1, 2]);
  assert.deepEqual(Array.from(numbersOf({ type: 'f16', shape: [2], data: Uint16Array.of(0x3c00, 0xc000) })), [1, -2]);
  const x = f32([1], Float32Array.of(3));
  assert.equal(numbersOf(x), x.data);
});

test('the batch is fixed by a first dimension that is a number, where there are others', () => {
  const of = (...shapes: ValueInfo['shape'][]) => fixedBatch(session(shapes.map((shape, i) => value(`x${i}`, 'f32', shape)), []) as Session);
  assert.equal(of(['batch', 3, 8, 8]), undefined);
  assert.equal(of([4, 3, 8, 8]), 4);
  assert.equal(of([1], ['batch', 2]), undefined);
  assert.equal(of(undefined, ['n', 2], [2, 2]), 2);
});

test('the judged output is logits, else the first with numbers that is no cache', () => {
  const of = (...outputs: ValueInfo[]) => mainOutput(session([], outputs) as Session);
  assert.equal(of(value('loss'), value('logits')), 'logits');
  assert.equal(of(value('label', 'string'), value('present.0.key'), value('scores')), 'scores');
  assert.equal(of(value('present.0.key')), 'present.0.key');
  assert.throws(() => of(value('label', 'string'), { name: 'map', type: undefined, shape: undefined }), { code: 'feeds.noOutput', message: 'the model has no output with numbers (outputs: label, map)' });
});
