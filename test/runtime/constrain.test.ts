/** Output held to a schema parses and is valid, whatever the model would rather write. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fileURLToPath } from 'node:url';
import { openFolder } from '../../src/files/fs-node.ts';
import { openTokenizer, type Tokenizer } from '../../src/models/tokenizer.ts';
import { readTokenizerFiles } from '../../src/models/tokenizer-files.ts';
import { normal } from '../../src/numeric/random.ts';
import { jsonConstraint } from '../../src/runtime/constrain.ts';
import { generate, type Decoder, type Generated, type GenerateOptions } from '../../src/runtime/generate.ts';
import { jsonAcceptor } from '../../src/runtime/json-acceptor.ts';
import { anyObject, jsonSchema } from '../../src/runtime/json-schema.ts';
import { masked, sample } from '../../src/runtime/sample.ts';

type Schema = boolean | { readonly [keyword: string]: any };

/** JSON Schema as its specification words it, for the keywords of these tests. */
function valid(value: unknown, schema: Schema): boolean {
  if (typeof schema === 'boolean') return schema;
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  const { type, anyOf, properties = {}, required = [], additionalProperties = true, items = true, minItems = 0, maxItems = Infinity, minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity, exclusiveMaximum = Infinity } = schema;
  const isType: Record<string, boolean> = {
    string: typeof value === 'string', number: typeof value === 'number' && Number.isFinite(value), integer: Number.isInteger(value), boolean: typeof value === 'boolean',
    null: value === null, array: Array.isArray(value), object: typeof value === 'object' && value !== null && !Array.isArray(value),
  };
  if (type !== undefined && ![type].flat().some((one: string) => isType[one])) return false;
  if ('const' in schema && !same(schema.const, value)) return false;
  if ('enum' in schema && !schema.enum.some((one: unknown) => same(one, value))) return false;
  if (anyOf !== undefined && !anyOf.some((one: Schema) => valid(value, one))) return false;
  if (typeof value === 'number' && !(value >= minimum && value <= maximum && value > exclusiveMinimum && value < exclusiveMaximum)) return false;
  if (isType.array) return (value as unknown[]).length >= minItems && (value as unknown[]).length <= maxItems && (value as unknown[]).every((one) => valid(one, items));
  if (!isType.object) return true;
  return required.every((name: string) => Object.hasOwn(value as object, name))
    && Object.entries(value as object).every(([name, one]) => valid(one, Object.hasOwn(properties, name) ? properties[name] : additionalProperties));
}

/** Schemas of all supported keywords, few levels deep. */
const schemas: fc.Arbitrary<Schema> = fc.letrec<{ schema: Schema; leaf: Schema }>((tie) => {
  const scalar = fc.oneof(fc.string({ maxLength: 6 }), fc.integer({ min: -50, max: 5000 }), fc.boolean(), fc.constant(null), fc.constantFrom('naïve', '€', '😀 yes', 'a "b" \\ c\n'));
  const name = fc.oneof(fc.constantFrom('name', 'names', 'n', 'age', 'größe', 'a "b"', ''), fc.string({ maxLength: 5 }));
  const leaf = fc.oneof(
    fc.constantFrom('string', 'number', 'integer', 'boolean', 'null').map((type) => ({ type })),
    fc.constantFrom<Schema>({ type: 'integer', minimum: -(2 ** 53 - 1), maximum: 2 ** 53 - 1 }, { type: 'integer', exclusiveMinimum: 0 }, { type: ['integer', 'null'], minimum: -7.5, exclusiveMaximum: 12 }, { type: 'number', minimum: 0 }), fc.uniqueArray(scalar, { minLength: 1, maxLength: 4 }).map((values) => ({ enum: values })),
    fc.oneof(scalar, fc.constant({ a: [1, 'b'] })).map((value) => ({ const: value })), fc.constant({ type: ['string', 'null'], description: 'one or none' }), fc.constant(true as Schema),
  );
  const object = fc.record({
    fields: fc.uniqueArray(fc.tuple(name, tie('schema'), fc.boolean()), { maxLength: 4, selector: ([one]) => one }), additionalProperties: fc.constantFrom(undefined, false, true, { type: 'integer' }),
  }).map(({ fields, additionalProperties }) => ({
    type: 'object', properties: Object.fromEntries(fields.map(([one, schema]) => [one, schema])), required: fields.filter(([, , needed]) => needed).map(([one]) => one),
    ...(additionalProperties === undefined ? {} : { additionalProperties }),
  }));
  const array = fc.record({ items: tie('schema'), minItems: fc.integer({ min: 0, max: 3 }), more: fc.constantFrom(undefined, 0, 2) })
    .map(({ items, minItems, more }) => ({ type: 'array', items, minItems, ...(more === undefined ? {} : { maxItems: minItems + more }) }));
  return { leaf, schema: fc.oneof({ depthSize: 'small', withCrossShrink: true }, tie('leaf'), object, array, fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf }))) };
}).schema as fc.Arbitrary<Schema>;

const host = openTokenizer((await readTokenizerFiles(await openFolder(fileURLToPath(new URL('../../assets/host-llama-shakespeare', import.meta.url)))))!);
/** Pieces with a word mark and bytes for everything else. */
const pieces = openTokenizer({
  tokenizer: {
    added_tokens: [{ id: 1, content: '<s>', special: true, normalized: false }], pre_tokenizer: null, post_processor: null,
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
    decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
    model: {
      type: 'BPE', unk_token: '<unk>', byte_fallback: true, fuse_unk: true, merges: [],
      vocab: { '<unk>': 0, '<s>': 1, '</s>': 2, ...Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`, 3 + i])), '▁': 259, a: 260, '▁{': 261, '":': 262, '▁"': 263, '},': 264, é: 265, '▁.': 266 },
    },
  },
  // This one takes out the space of " ." when nothing forbids it.
  config: { clean_up_tokenization_spaces: true }, others: new Map(),
});

const draws = Float32Array.from({ length: 65_536 }, (_, i) => 4 * normal(1, 0, i));

/** A model without an opinion; it has logits for more ids than there are tokens. */
function noise(tokenizer: Tokenizer, seed: number, context = 4096): Decoder {
  let fed = seed;
  let position = 0;
  return {
    context,
    get position() { return position; },
    rewind: (to) => (position = to),
    feed(tokens) {
      position += tokens.length;
      const from = (++fed * 7919) % (draws.length - tokenizer.vocabulary - 3);
      return draws.slice(from, from + tokenizer.vocabulary + 3);
    },
  };
}

async function write(tokenizer: Tokenizer, options: GenerateOptions, seed: number, context?: number): Promise<Generated> {
  const writing = generate(noise(tokenizer, seed, context), tokenizer, [5], options);
  for (;;) {
    const next = await writing.next();
    if (next.done === true) return next.value;
  }
}

for (const [name, tokenizer, endTokens] of [['a byte-level tokenizer', host, [0]], ['pieces with a word mark', pieces, [2]]] as const) {
  test(`${name}: random logits give JSON that is valid, in any number of tokens that suffices`, async () => {
    await fc.assert(fc.asyncProperty(schemas, fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 0, max: 60 }), fc.constantFrom(0, 0.7, 1.5), async (schema, seed, more, temperature) => {
      const shape = jsonSchema(schema);
      const maxTokens = Math.max(1, jsonAcceptor(shape).need + more);
      const { text, end } = await write(tokenizer, { constraint: jsonConstraint(tokenizer, shape), maxTokens, temperature, seed, endTokens }, seed);
      assert.ok(valid(JSON.parse(text), schema), `${text} is not of ${JSON.stringify(schema)}`);
      assert.ok(['complete', 'end token', 'length'].includes(end));
    }), { numRuns: 80, seed: 3 });
  });
}

/** Feeds a text to the acceptor of a schema: whether it is taken, and may end. */
function takes(schema: Schema, text: string): boolean {
  let place: ReturnType<typeof jsonAcceptor> | undefined = jsonAcceptor(jsonSchema(schema));
  for (let i = 0; place !== undefined && i < text.length; i++) place = place.step(text[i]);
  return place?.need === 0;
}

test('the acceptor takes what is valid and nothing else', () => {
  const person = { type: 'object', properties: { name: { type: 'string' }, age: { type: 'integer' } }, required: ['name'], additionalProperties: false };
  for (const text of ['{"name":"A"}', '{ "age" : -3 , "name" : "\\u00e9\\n" }', '{"name":"naïve 😀","age":0}']) assert.ok(takes(person, text), text);
  for (const text of ['{}', '{"age":3}', '{"name":1}', '{"name":"A","name":"B"}', '{"name":"A","x":1}', '{"name":"A",}', '{"name":"A"} ', '{"name":"A","age":1.5}', '{"name":"A","age":01}', '{"n\\u0061me":"A"}', '{"name":"A\n"}', "{'name':'A'}", '{"name":"\\x"}', '{"name":"A"']) assert.ok(!takes(person, text), text);
  const numbers = { type: 'number' };
  for (const text of ['0', '-0', '12', '0.5', '-1.25e-7', '3E+2', '1e9']) assert.ok(takes(numbers, text), text);
  for (const text of ['', '-', '.5', '1.', '01', '1e', '+1', '1e999', '0x1', 'NaN', '1 ']) assert.ok(!takes(numbers, text), text);
  // What libraries write for an integer, a positive one, and one of a few.
  for (const [schema, taken, refused] of [
    [{ type: 'integer', minimum: -(2 ** 53 - 1), maximum: 2 ** 53 - 1 }, ['0', '-999999999999999'], ['1.5']],
    [{ type: 'integer', exclusiveMinimum: 0, maximum: 2 ** 53 - 1 }, ['1', '90'], ['0', '-1', '00']], [{ type: 'integer', minimum: 0.5 }, ['1'], ['0', '-0']],
    [{ type: 'integer', minimum: 0, maximum: 10 }, ['0', '7', '10'], ['-1', '11', '100', '1.0']], [{ minimum: 0 }, ['0.5', '0', '3e-2'], ['-0.5', '-0', '"a"']],
    [{ type: ['number', 'string'], minimum: -1e200 }, ['-5', '"a"'], ['null']], [{ type: 'integer', minimum: -2, exclusiveMaximum: 0 }, ['-2', '-1'], ['0', '-3']],
  ] as const) {
    for (const text of taken) assert.ok(takes(schema, text), `${text} of ${JSON.stringify(schema)}`);
    for (const text of refused) assert.ok(!takes(schema, text), `${text} of ${JSON.stringify(schema)}`);
  }
  const list = { items: { anyOf: [{ type: 'integer' }, { const: 'one' }, { enum: [true, null] }] }, minItems: 1, maxItems: 3 };
  for (const text of ['[1]', '["one", 2,true ]', '[null]']) assert.ok(takes(list, text), text);
  for (const text of ['[]', '[1,2,3,4]', '["on"]', '[false]', '[1,]', '[1 2]']) assert.ok(!takes(list, text), text);
  const open = { type: 'object', properties: { größe: { type: 'integer' } }, additionalProperties: { type: 'string' } };
  for (const text of ['{"größe":3,"other":"x"}', '{"gr\\u00f6\\u00dfe":3}', '{"größ":"x","größer":""}', '{}']) assert.ok(takes(open, text), text);
  for (const text of ['{"größe":"x"}', '{"gr\\u00f6\\u00dfe":"x"}', '{"other":3}', '{"gr\ufffd":"x"}']) assert.ok(!takes(open, text), text);
  const referring = { type: 'object', properties: { from: { $ref: '#/$defs/a~1b' }, to: { $ref: '#/$defs/a~1b', description: 'the same' } }, $defs: { 'a/b': { enum: [1, 2] } } };
  assert.ok(takes(referring, '{"from":1,"to":2}') && !takes(referring, '{"from":3}'));
  for (const text of ['{"a":[1,{"b":null}],"c":"d"}', '{}']) assert.ok(takes({ type: 'object' }, text), text);
  assert.ok(!takes(true, '['.repeat(33) + ']'.repeat(33)));
  for (const text of [' [\n    1,\n\t\t2\n]', '{ "a" : 1 }', `\n${' '.repeat(20)}1`]) assert.ok(takes(true, text), text);
  for (const text of ['  1', '\n\n1', ' \n1', `\n${' '.repeat(21)}1`, '[1,\r\n2]']) assert.ok(!takes(true, text), text);
});

test('values with many ways to be read stay cheap', () => {
  const many = { type: 'array', items: { anyOf: Array.from({ length: 8 }, () => ({ type: 'array', items: { anyOf: [{ type: 'number' }, { type: 'integer' }] } })) } };
  assert.ok(takes(many, `[${Array.from({ length: 3000 }, (_, i) => `[${i},${i}]`).join(',')}]`));
});

test('schemas of thousands of values and properties stay cheap', () => {
  const from = performance.now();
  const names = Array.from({ length: 4000 }, (_, i) => `property ${i}`);
  const item = { enum: names };
  const properties = { ...Object.fromEntries(names.map((name) => [name, { type: 'integer' }])), list: { type: 'array', maxItems: 100, items: item } };
  let place = jsonAcceptor(jsonSchema({ type: 'object', properties, required: [...names.slice(0, 60), 'list'] }));
  const text = JSON.stringify({ ...Object.fromEntries(names.slice(0, 60).map((name, i) => [name, i])), list: names.slice(50, 150) });
  for (const c of text) place = place.step(c)!;
  assert.ok(place.complete);
  assert.ok(performance.now() - from < 10_000);
});

test('schemas with other keywords, or that nothing fits, are refused by name', () => {
  const refused: readonly (readonly [schema: unknown, message: RegExp])[] = [
    [{ type: 'string', pattern: 'a+' }, /schema: pattern is not supported/],
    [{ properties: { a: { $ref: '#' } } }, /schema\.properties\.a: \$ref # leads back to where it stands/],
    [{ $ref: '#/$defs/toString', $defs: {} }, /\$ref #\/\$defs\/toString leads nowhere/],
    [{ $ref: '#/$defs/a', $defs: { a: { items: { $ref: '#/$defs/a' } } } }, /\$ref #\/\$defs\/a leads back to where it stands/],
    [{ $ref: '#/$defs/a', type: 'string', $defs: { a: {} } }, /type beside \$ref is not supported/],
    [{ $ref: '#/$defs/x9', $defs: Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`x${i}`, i === 0 ? true : { anyOf: Array.from({ length: 9 }, () => ({ $ref: `#/$defs/x${i - 1}` })) }])) }, /more than 5000 schemas/],
    [{ type: 'number', maximum: 1 }, /schema: maximum 1 is not supported/], [{ type: 'integer', minimum: 5 }, /schema: minimum 5 is not supported/], [{ exclusiveMinimum: 0 }, /schema: exclusiveMinimum 0 is not/],
    [{ type: 'integer', minimum: 3, maximum: 2 }, /schema: no value can be valid: none lies between 3 and 2/], [{ type: 'integer', minimum: '1' }, /schema.minimum must be a number/],
    [{ oneOf: [{}] }, /oneOf is not supported/],
    [{ anyOf: [{ type: 'string' }], type: 'object' }, /type beside anyOf is not supported/],
    [{ enum: [1], items: {} }, /items beside enum is not supported/],
    [{ enum: ['a'], type: 'integer' }, /no value can be valid: enum has no value of type integer/],
    [{ type: 'text' }, /schema\.type must be one or more of string,/],
    [{ type: 'object', properties: {}, required: ['a'], additionalProperties: false }, /"a" is required and not among the properties/],
    [{ items: {}, minItems: 3, maxItems: 2 }, /minItems 3 is larger than maxItems 2/],
    [{ minItems: -1 }, /schema\.minItems must be a whole number/],
    [{ items: false }, /schema\.items: no value can be valid/],
    ['string', /schema must be an object or a boolean/], [null, /schema must be an object or a boolean/], [[], /schema must be an object or a boolean/],
    [JSON.parse(`${'{"items":'.repeat(40)}{}${'}'.repeat(40)}`), /more than 32 levels/],
    [{ enum: ['a'.repeat(300_000)] }, /more than 200000 characters/],
  ];
  for (const [schema, message] of refused) assert.throws(() => jsonSchema(schema), message);
});

test('a masked draw is a draw from what is allowed, and a vocabulary that cannot spell the form ends in one line', async () => {
  const logits = Float32Array.from([3, 2, 1, 0, -1]);
  const odd = (id: number): boolean => id % 2 === 1;
  assert.deepEqual([...masked(logits, 1, odd)!], [-Infinity, 2, -Infinity, 0, -Infinity]);
  const drawn = Array.from({ length: 4000 }, (_, i) => sample(masked(logits, 1, odd)!, { temperature: 1, seed: 2 }, i, []));
  // e² against e⁰.
  assert.ok(Math.abs(drawn.filter((id) => id === 1).length / 4000 - 1 / (1 + Math.exp(-2))) < 0.02);
  assert.equal(masked(logits, 1, () => false), undefined);
  const letters = openTokenizer({ tokenizer: { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: { type: 'Fuse' }, model: { type: 'BPE', vocab: { a: 0, b: 1, c: 2, d: 3, e: 4, f: 5 }, merges: [] } }, config: {}, others: new Map() });
  await assert.rejects(write(letters, { constraint: jsonConstraint(letters, anyObject) }, 1), /no token of the vocabulary continues the text/);
});

test('the end of the context completes the text too', async () => {
  const { text, ids } = await write(host, { constraint: jsonConstraint(host, anyObject), maxTokens: Infinity, temperature: 1.5, endTokens: [] }, 11, 40);
  assert.equal(typeof JSON.parse(text), 'object');
  assert.ok(ids.length <= 40);
});
