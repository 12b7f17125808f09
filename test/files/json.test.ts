import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FewbitError } from '../../src/errors.ts';
import { parseJson, parseJsonBytes } from '../../src/files/json.ts';

test('reads every JSON value as the language does', () => {
  fc.assert(fc.property(fc.json(), (text) => {
    assert.equal(JSON.stringify(parseJson(text)), JSON.stringify(JSON.parse(text)));
  }));
});

const hostile: readonly (readonly [string, string])[] = [
  ['', 'json.syntax'], ['{', 'json.syntax'], ['[1,]', 'json.syntax'], ['{"a":1,}', 'json.syntax'], ['01', 'json.syntax'],
  ['NaN', 'json.syntax'], ['Infinity', 'json.syntax'], ['1e999', 'json.number'], ['"a', 'json.syntax'], ['"\\x"', 'json.syntax'],
  ['"\\u12g4"', 'json.syntax'], ['"\n"', 'json.syntax'], ['{"a":1,"a":2}', 'json.duplicate'], ['{"a":1,"\\u0061":2}', 'json.duplicate'],
  ['{"__proto__":1,"__proto__":2}', 'json.duplicate'], ['[1] 2', 'json.syntax'], ['\ufeff{}', 'json.syntax'], ["{'a':1}", 'json.syntax'],
  ['//x\n1', 'json.syntax'], ['['.repeat(1e6), 'json.tooDeep'], ['{"a":'.repeat(1e5), 'json.tooDeep'], ['.5', 'json.syntax'], ['+1', 'json.syntax'],
];
for (const [text, code] of hostile) {
  test(`refuses ${JSON.stringify(text.slice(0, 30))} with ${code}`, () => {
    assert.throws(() => parseJson(text), (error) => error instanceof FewbitError && error.code === code && !error.message.includes('\n'));
  });
}

test('keeps a key named __proto__ a plain key', () => {
  const value = parseJson('{"__proto__":{"polluted":1}}') as Record<string, unknown>;
  assert.equal(value['polluted'], undefined);
  assert.deepEqual(Object.keys(value), ['__proto__']);
});

test('refuses invalid UTF-8 and texts over the size limit', () => {
  assert.throws(() => parseJsonBytes(new Uint8Array([0x22, 0xff, 0x22])), { code: 'json.notUtf8' });
  assert.throws(() => parseJsonBytes(new Uint8Array(5), 'x', { maxBytes: 4 }), { code: 'json.tooLarge' });
});
