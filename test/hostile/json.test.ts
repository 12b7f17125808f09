/** JSON texts made to harm or to confuse, as a configuration or a tokenizer could be. */
import { readJson } from '../../src/files/json.ts';
import { memorySource, type ByteSource } from '../../src/files/source.ts';
import { answers, vastSource } from './answers.ts';

type Text = string | Uint8Array | ByteSource;
const list = (unit: string, count: number): string => `[${unit.repeat(count)}0]`;
const keys = (count: number): string => `{${Array.from({ length: count }, (_, i) => `"k${i}":0`).join(',')}}`;

const cases: readonly (readonly [name: string, text: Text | (() => Text), expect: RegExp])[] = [
  ['an empty text', '', /expected a value at character 0/],
  ['white space', ' \n\t\r ', /expected a value at character 5/],
  ['an open object', '{', /expected a string/],
  ['an open list', '[1', /expected "," or "\]"/],
  ['an open text', '"abc', /expected the end of a string/],
  ['a text that ends in a backslash', '"abc\\', /expected an escape/],
  ['a list that ends in a comma', '[1,]', /expected a value/],
  ['an object that ends in a comma', '{"a":1,}', /expected a string/],
  ['a list without commas', '[1 2]', /expected "," or "\]"/],
  ['a key without a colon', '{"a" 1}', /expected ":"/],
  ['a key that is a number', '{1:2}', /expected a string/],
  ['a key without quotes', '{a:1}', /expected a string/],
  ['brackets that do not match', '[1}', /expected "," or "\]"/],
  ['two values', '1 2', /expected the end/],
  ['a value after the end', '{}x', /expected the end/],
  ['single quotes', "{'a':1}", /expected a string/],
  ['a comment', '{/* */}', /expected a string/],
  ['a line comment', '// {}\n{}', /expected a value/],
  ['NaN', '[NaN]', /expected a value/],
  ['Infinity', '-Infinity', /expected a value/],
  ['a number that begins with zero', '012', /expected the end/],
  ['a hexadecimal number', '0x10', /expected the end/],
  ['a number that begins with a point', '.5', /expected a value/],
  ['a number that ends in a point', '1.', /expected the end/],
  ['a number with a plus', '+1', /expected a value/],
  ['a number without digits', '-', /expected a value/],
  ['an exponent without digits', '1e', /expected the end/],
  ['10^999', '[1e999]', /number at character 1 is too large/],
  ['a number of a million digits', () => '9'.repeat(1_000_000), /too large/],
  ['an unknown escape', '"\\x41"', /expected an escape/],
  ['an escape of three digits', '"\\u123"', /four hexadecimal digits/],
  ['an escape that is not hexadecimal', '"\\u12g4"', /four hexadecimal digits/],
  ['a line break in a text', '"a\nb"', /expected the end of a string/],
  ['a NUL in a text', '"a\u0000b"', /expected the end of a string/],
  ['an escape sequence of terminals in a text', '"a\u001b[2J"', /expected the end of a string/],
  ['words that begin like true', 'trux', /expected a value/],
  ['true with a tail', 'trueish', /expected the end/],
  ['the same key twice', '{"a":1,"a":2}', /duplicate key "a"/],
  ['the same key twice, once escaped', '{"a":1,"\\u0061":2}', /duplicate key "a"/],
  ['__proto__ twice', '{"__proto__":1,"__proto__":2}', /duplicate key "__proto__"/],
  ['a key of 5 MB twice', () => `{"${'k'.repeat(5_000_000)}":1,"${'k'.repeat(5_000_000)}":2}`, /duplicate key "kkk/],
  ['a key twice that clears the screen', '{"\\u001b[2J\\n":1,"\\u001b[2J\\n":2}', /duplicate key/],
  ['a byte order mark', '\ufeff{}', /expected a value/],
  ['bytes that are not UTF-8', Uint8Array.of(0x22, 0xff, 0x22), /not valid UTF-8/],
  ['an overlong encoding', Uint8Array.of(0x22, 0xc0, 0xa2, 0x22), /not valid UTF-8/],
  ['half of a surrogate pair in UTF-8', Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), /not valid UTF-8/],
  ['a cut character', Uint8Array.of(0x22, 0xe2, 0x82), /not valid UTF-8/],
  ['UTF-16', Uint8Array.of(0x7b, 0, 0x7d, 0), /expected a string/],
  ['a million open lists', () => '['.repeat(1_000_000), /nests deeper than 64/],
  ['a million open objects', () => '{"a":'.repeat(1_000_000), /nests deeper than 64/],
  ['65 levels', `${'['.repeat(65)}${']'.repeat(65)}`, /nests deeper than 64/],
  ['5 million numbers', () => list('0,', 5_000_000), /more than 4000000 values/],
  ['5 million texts', () => list('"ab",', 5_000_000), /more than 4000000 values/],
  ['5 million lists', () => list('[],', 5_000_000), /more than 4000000 values/],
  ['5 million objects', () => list('{},', 5_000_000), /more than 4000000 values/],
  ['1.4 million keys', () => keys(1_400_000), /more than 4000000 values/],
  ['a terabyte', vastSource('hostile.json', new TextEncoder().encode('['), 2 ** 40), /1099511627776 bytes exceeds the limit/],
  ['5 million escapes and no end', () => `"${'\\n'.repeat(5_000_000)}`, /expected the end of a string/],
  ['20 MB of white space', () => ' '.repeat(20_000_000), /expected a value/],
  ['a GGUF file', Uint8Array.of(0x47, 0x47, 0x55, 0x46, 3, 0, 0, 0), /expected a value/],
];

for (const [name, text, expect] of cases) {
  answers(name, () => {
    const made = typeof text === 'function' ? text() : text;
    if (typeof made === 'string') return memorySource('hostile.json', new TextEncoder().encode(made));
    return made instanceof Uint8Array ? memorySource('hostile.json', made) : made;
  }, (source) => readJson(source), expect);
}
