/** The endpoint, asked over HTTP as clients do. */
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { fileURLToPath } from 'node:url';
import { serve } from '../../src/jobs/serve-node.ts';
import { openEndpoint, type EndpointOptions } from '../../src/jobs/serve/endpoint-node.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import { openTextModel } from '../../src/runtime/text-model.ts';

const location = fileURLToPath(new URL('../../assets/host-llama-shakespeare', import.meta.url));
const source = await openSource(location);
const language = source.language!;
const template = "{% for message in messages %}{% if message.role == 'system' and not loop.first %}{{ raise_exception('system comes first') }}{% endif %}{{ message.role | upper }}:\n{{ message.content }}\n\n{% endfor %}{% if add_generation_prompt %}ASSISTANT:\n{% endif %}";
const tokenizer = { ...language.tokenizer!, config: { ...language.tokenizer!.config, chat_template: template } };
const model = await openTextModel({ ...language, tokenizer }, { context: 128, weights: 'q8_0' });
const base: EndpointOptions = { host: '127.0.0.1', port: 0, parallel: 1, maxWaiting: 2, maxBodyBytes: 20_000 };
const endpoint = await openEndpoint('host', model, base);
after(async () => {
  await endpoint.close({ now: true });
  await source.close();
});

interface Answer { readonly status: number; readonly body: any; readonly headers: Headers }
async function ask(path: string, body?: unknown, { url = endpoint.url, ...init }: RequestInit & { url?: string } = {}): Promise<Answer> {
  const response = await fetch(url + path, {
    ...(body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' }, body: typeof body === 'string' ? body : JSON.stringify(body) }), ...init,
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: response.headers.get('content-type')?.startsWith('application/json') === true ? JSON.parse(text) : text };
}
const greedy = { prompt: 'ROMEO:', temperature: 0, max_tokens: 24 };

/** Events of a stream; the last is [DONE]. */
const events = (text: string): any[] => text.trim().split('\n\n').map((event) => {
  assert.ok(event.startsWith('data: '), event);
  return event === 'data: [DONE]' ? '[DONE]' : JSON.parse(event.slice(6));
});

async function written(prompt: string, maxTokens: number): Promise<{ text: string; ids: readonly number[] }> {
  const pieces = model.write(prompt, { maxTokens });
  for (;;) {
    const next = await pieces.next();
    if (next.done === true) return next.value;
  }
}

test('health, models, and one model', async () => {
  assert.deepEqual((await ask('/health')).body, { status: 'ok', model: 'host', waiting: 0 });
  const { body } = await ask('/v1/models');
  assert.deepEqual(body.data.map(({ id, object, context_length }: any) => [id, object, context_length]), [['host', 'model', 128]]);
  assert.equal((await ask('/v1/models/host')).body.id, 'host');
});

test('a completion is what the model writes, whole and streamed, with counts and the reason of its end', async () => {
  const expected = await written('ROMEO:', 24);
  const { status, body } = await ask('/v1/completions', greedy);
  assert.equal(status, 200);
  assert.deepEqual([body.object, body.choices[0].text, body.choices[0].finish_reason], ['text_completion', expected.text, 'length']);
  const prompt = model.encode('ROMEO:').length;
  assert.deepEqual(body.usage, { prompt_tokens: prompt, completion_tokens: 24, total_tokens: prompt + 24, prompt_tokens_details: { cached_tokens: prompt - 1 } });
  const streamed = await ask('/v1/completions', { ...greedy, stream: true, stream_options: { include_usage: true } });
  assert.match(streamed.headers.get('content-type')!, /^text\/event-stream/);
  const parts = events(streamed.body);
  assert.equal(parts.at(-1), '[DONE]');
  assert.equal(parts.slice(0, -2).map((part) => part.choices[0].text).join(''), expected.text);
  assert.deepEqual(parts.slice(0, -2).map((part) => part.choices[0].finish_reason).filter((reason) => reason !== null), ['length']);
  assert.deepEqual([parts.at(-2).choices, parts.at(-2).usage.completion_tokens], [[], 24]);
  assert.equal(new Set(parts.slice(0, -1).map(({ id }) => id)).size, 1);
  assert.deepEqual((await ask('/v1/completions', { ...greedy, prompt: model.encode('ROMEO:') })).body.choices[0].text, expected.text);
});

test('stop texts end an answer and are not part of it', async () => {
  const { text } = await written('ROMEO:', 24);
  const stop = text.slice(8, 12);
  const { body } = await ask('/v1/completions', { ...greedy, stop: [stop, 'never written'] });
  assert.deepEqual([body.choices[0].text, body.choices[0].finish_reason], [text.slice(0, text.indexOf(stop)), 'stop']);
});

test('a chat answers through the template of the model, whole and streamed', async () => {
  const messages = [{ role: 'developer', content: 'Be short.' }, { role: 'user', content: [{ type: 'text', text: 'Who' }, { type: 'text', text: 'is there?' }] }];
  const { text } = await written('SYSTEM:\nBe short.\n\nUSER:\nWho\nis there?\n\nASSISTANT:\n', 12);
  const { body } = await ask('/v1/chat/completions', { model: 'any', messages, temperature: 0, max_completion_tokens: 12, user: 'someone', seed: null });
  assert.deepEqual(body.choices[0].message, { role: 'assistant', content: text, refusal: null });
  assert.equal(body.object, 'chat.completion');
  const parts = events((await ask('/v1/chat/completions', { messages, temperature: 0, max_tokens: 12, stream: true })).body).slice(0, -1);
  assert.deepEqual(parts[0].choices[0].delta, { role: 'assistant', content: '' });
  assert.equal(parts.map((part) => part.choices[0].delta.content ?? '').join(''), text);
  assert.deepEqual(parts.at(-1).choices[0], { index: 0, finish_reason: 'length', logprobs: null, delta: {} });
  const wrong = await ask('/v1/chat/completions', { messages: [...messages, { role: 'system', content: 'late' }] });
  assert.deepEqual([wrong.status, wrong.body.error.code], [400, 'chat.invalid']);
  assert.match(wrong.body.error.message, /system comes first/);
});

test('a seed gives the same draws again, other seeds others', async () => {
  const drawn = async (seed: number): Promise<string> => (await ask('/v1/completions', { ...greedy, temperature: 1, seed })).body.choices[0].text;
  assert.equal(await drawn(3), await drawn(3));
  assert.notEqual(await drawn(3), await drawn(4));
  const least = await ask('/v1/completions', { ...greedy, temperature: 1, top_p: 0, seed: 3 });
  assert.equal(least.body.choices[0].text, (await ask('/v1/completions', greedy)).body.choices[0].text, 'a share of 0 is the likeliest token');
});

test('several prompts, each several times: the texts of each alone, in order, whole and streamed', async () => {
  const prompts = ['ROMEO:', 'JULIET:\nO'];
  const drawn = { temperature: 1, max_tokens: 8, logprobs: 0 };
  const alone = [];
  for (const prompt of prompts) for (const seed of [3, 4]) alone.push((await ask('/v1/completions', { ...drawn, prompt, seed })).body);
  const texts = alone.map(({ choices: [{ text }] }) => text);
  assert.equal(new Set(texts).size, 4);
  const several = { ...drawn, prompt: prompts, n: 2, seed: 3 };
  const { body } = await ask('/v1/completions', several);
  assert.deepEqual(body.choices.map(({ index, text }: any) => [index, text]), texts.map((text, index) => [index, text]));
  assert.deepEqual(body.choices.map(({ logprobs }: any) => logprobs), alone.map(({ choices: [{ logprobs }] }) => logprobs));
  const [read, written] = [model.encode(prompts[0]).length + model.encode(prompts[1]).length, alone.reduce((sum, { usage }) => sum + usage.completion_tokens, 0)];
  assert.deepEqual([body.usage.prompt_tokens, body.usage.completion_tokens, body.usage.total_tokens], [read, written, read + written]);
  const parts = events((await ask('/v1/completions', { ...several, stream: true, stream_options: { include_usage: true } })).body);
  const streamed = ['', '', '', ''];
  const ends: string[] = [];
  for (const { choices: [choice] } of parts.slice(0, -2)) {
    streamed[choice.index] += choice.text;
    if (choice.finish_reason !== null) ends[choice.index] = choice.finish_reason;
  }
  assert.deepEqual([streamed, ends.length, parts.at(-2).usage.completion_tokens, parts.at(-1)], [texts, 4, written, '[DONE]']);
  assert.deepEqual((await ask('/v1/completions', { ...several, prompt: prompts.map((prompt) => model.encode(prompt)) })).body.choices.map(({ text }: any) => text), texts);
  const chat = { messages: [{ role: 'user', content: 'Who?' }], n: 3, max_tokens: 6, seed: 1 };
  const whole = (await ask('/v1/chat/completions', chat)).body.choices.map(({ message }: any) => message.content);
  const chunks = events((await ask('/v1/chat/completions', { ...chat, stream: true })).body).slice(0, -1).map(({ choices: [choice] }) => choice);
  assert.deepEqual(chunks.filter(({ delta }) => delta.role !== undefined).map(({ index }) => index), [0, 1, 2]);
  assert.deepEqual([0, 1, 2].map((index) => chunks.filter((one) => one.index === index).map(({ delta }) => delta.content ?? '').join('')), whole);
  // What is wrong with a later prompt is told before anything is written.
  assert.equal((await ask('/v1/completions', { ...several, prompt: ['a', 'word '.repeat(200)], stream: true })).body.error.code, 'context_length_exceeded');
});

test('requests that are answered together get the answers that they get alone', async () => {
  const served = await serve({ model: location, port: 0, context: 128, weights: 'q8_0', threads: 1, parallel: 3, draft: 'ngram' });
  try {
    const prompts = ['ROMEO:', 'JULIET:\nO', 'KING:\nNow', 'O'];
    const alone = [];
    for (const prompt of prompts) alone.push((await ask('/v1/completions', { ...greedy, prompt })).body.choices[0].text);
    const together = await Promise.all(prompts.map((prompt) => ask('/v1/completions', { ...greedy, prompt }, { url: served.url })));
    assert.deepEqual(together.map(({ body }) => body.choices[0].text), alone);
  } finally {
    await served.close();
  }
});

test('log probabilities add up and are those of the logits', async () => {
  const { body } = await ask('/v1/completions', { ...greedy, max_tokens: 3, logprobs: 20 });
  const { tokens, token_logprobs: own, top_logprobs: top, text_offset: offsets } = body.choices[0].logprobs;
  assert.equal(tokens.join(''), body.choices[0].text);
  assert.deepEqual(offsets, [0, tokens[0].length, tokens[0].length + tokens[1].length]);
  const prompt = model.encode('ROMEO:');
  model.decoder.rewind(0);
  const logits = await model.decoder.feed(prompt);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  const expected = [...logits].map((logit) => logit - Math.log(total)).sort((a, b) => b - a).slice(0, 20);
  assert.ok(Math.abs(own[0] - expected[0]) < 1e-6);
  Object.values(top[0] as Record<string, number>).forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6));
  const chat = await ask('/v1/chat/completions', { messages: [{ role: 'user', content: 'hm' }], temperature: 0, max_tokens: 4, logprobs: true, top_logprobs: 1, stream: true });
  const told = events(chat.body).slice(0, -1).flatMap((part) => part.choices[0].logprobs?.content ?? []);
  assert.equal(told.length, 4);
  for (const { token, logprob, bytes, top_logprobs: [best] } of told) {
    assert.deepEqual([best.token, best.logprob], [token, logprob]);
    assert.equal(Buffer.from(bytes).toString(), token);
  }
});

test('answers are JSON of the schema that was asked for', async () => {
  const schema = { type: 'object', properties: { name: { type: 'string' }, mood: { enum: ['glad', 'sad'] }, age: { type: 'integer' } }, required: ['name', 'mood'], additionalProperties: false };
  const asked = { messages: [{ role: 'user', content: 'Who?' }], max_tokens: 60, temperature: 1.2, response_format: { type: 'json_schema', json_schema: { name: 'person', strict: true, schema } } };
  for (let seed = 0; seed < 5; seed++) {
    const { body } = await ask('/v1/chat/completions', { ...asked, seed });
    const { name, mood, age = 0, ...rest } = JSON.parse(body.choices[0].message.content);
    assert.deepEqual([typeof name, ['glad', 'sad'].includes(mood), Number.isInteger(age), rest, body.choices[0].finish_reason], ['string', true, true, {}, 'stop']);
  }
  const any = await ask('/v1/completions', { ...greedy, response_format: { type: 'json_object' } });
  assert.equal(typeof JSON.parse(any.body.choices[0].text), 'object');
  const wrong = await ask('/v1/chat/completions', { ...asked, response_format: { type: 'json_schema', json_schema: { schema: { type: 'string', pattern: 'a' } } } });
  assert.deepEqual([wrong.status, wrong.body.error.param, wrong.body.error.message], [400, 'response_format', 'schema: pattern is not supported']);
  assert.match((await ask('/v1/completions', { ...greedy, response_format: { type: 'xml' } })).body.error.message, /^response_format/);
});

const refused: readonly (readonly [body: unknown, message: RegExp, param?: string])[] = [
  ['{"prompt": "a"', /the body: expected/],
  ['', /the body: expected/],
  ['[]', /the body: .*expected object/],
  ['{"prompt":"a","prompt":"b"}', /duplicate key "prompt"/],
  [`${'['.repeat(3000)}`, /nests deeper than 64/],
  [{}, /prompt: must be a text, a list of token ids/, 'prompt'],
  [{ prompt: '' }, /no tokens/, 'prompt'],
  [{ prompt: [5, 99_999] }, /token 99999 is outside of the vocabulary of 1024/],
  [{ prompt: 'a', n: 0 }, /n: too small/, 'n'], [{ prompt: ['a', 'b'], n: 100 }, /n: 2 prompts, each 100 times, are more than 128 texts/, 'n'], [{ prompt: ['a', 3] }, /prompt: must be a text, a list of token ids/, 'prompt'],
  [{ prompt: 'a', stop: '' }, /stop: must be a text of 1 to 1000 characters, or a list of up to 16/, 'stop'],
    [{ prompt: 'a', response_format: { type: 'json_schema', json_schema: { name: 'a' } } }, /json_schema\.schema: is missing/, 'response_format.json_schema.schema'],
    [{ prompt: 'a', best_of: 4 }, /best_of other than 1 is not supported/, 'best_of'],
  [{ prompt: 'a', echo: true }, /echo is not supported/, 'echo'],
  [{ prompt: 'a', logit_bias: { 5: 1 } }, /logit_bias is not supported/, 'logit_bias'],
  [{ prompt: 'a', max_tokens: 0 }, /max_tokens: too small/, 'max_tokens'],
  [{ prompt: 'a', temperature: 'hot' }, /temperature: invalid input/, 'temperature'],
  [{ prompt: 'a', top_p: -0.1 }, /top_p: too small/, 'top_p'],
  [{ prompt: 'a', stop: [''] }, /stop.*: /],
  [{ prompt: 'word '.repeat(200) }, /the prompt has \d+ tokens, the context holds 128/],
];
test('bad bodies get one JSON error each, and the server goes on', async () => {
  for (const [body, message, param] of refused) {
    const { status, body: answer } = await ask('/v1/completions', body);
    assert.equal(status, 400, JSON.stringify(body));
    assert.match(answer.error.message, message);
    assert.equal(answer.error.type, 'invalid_request_error');
    if (param !== undefined) assert.equal(answer.error.param, param);
  }
  const chats: readonly (readonly [body: object, message: RegExp])[] = [
    [{ messages: [] }, /messages: too small/], [{ messages: [{ role: 'tool', content: 'a' }] }, /messages\[0\]\.role/],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }, /messages\[0\]\.content: must be a text/],
    [{ messages: [{ role: 'user', content: 'a' }], tools: [{}] }, /tools is not supported/],
  ];
  for (const [body, message] of chats) assert.match((await ask('/v1/chat/completions', body)).body.error.message, message);
  assert.equal((await ask('/v1/completions', '{"prompt":"ROMEO:","max_tokens":1,"__proto__":{"n":2}}')).status, 200);
});

test('any value of any field is answered: with a text, or with one line', async () => {
  const fields = ['model', 'prompt', 'temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty', 'seed', 'stop', 'stream_options', 'n', 'logit_bias', 'presence_penalty', 'response_format', 'logprobs', 'echo', 'suffix', 'best_of', 'messages', 'tools'];
  const odd = fc.oneof(fc.jsonValue(), fc.constantFrom(1e308, -1e308, 2 ** 53, -0, '', '\u0000', [[]], [''], {}, { type: 'json_schema' }, { type: 'json_schema', json_schema: { schema: { anyOf: [] } } }, [{ role: 'user', content: [] }]));
  await fc.assert(fc.asyncProperty(fc.constantFrom(...fields), odd, fc.boolean(), async (field, value, chat) => {
    const body = { ...(chat ? { messages: [{ role: 'user', content: 'a' }] } : { prompt: 'a' }), max_tokens: 2, [field]: value };
    const { status, body: answer } = await ask(chat ? '/v1/chat/completions' : '/v1/completions', body);
    assert.ok(status === 200 || status === 400, `${status} for ${JSON.stringify(body)}`);
    if (status === 400) assert.match(answer.error.message, /^[^\n]{1,600}$/);
  }), { numRuns: 120, seed: 5 });
});

test('paths, methods, types, sizes and names of hosts that are not taken', async () => {
  assert.equal((await ask('/v1/embeddings', {})).status, 404);
  assert.equal((await ask('/__proto__')).status, 404);
  const other = await ask('/v1/models/other');
  assert.deepEqual([other.status, other.body.error.code, other.body.error.message], [404, 'model_not_found', 'no such model (there is: host)']);
  assert.equal((await ask('/v1/completions')).status, 405);
  const head = await fetch(`${endpoint.url}/health`, { method: 'HEAD' });
  assert.deepEqual([head.status, Number(head.headers.get('content-length')) > 0, await head.text()], [200, true, '']);
  assert.equal((await fetch(`${endpoint.url}/v1/completions`, { method: 'HEAD' })).status, 405);
  assert.equal((await fetch(`${endpoint.url}/v1/models`, { method: 'OPTIONS' })).headers.get('allow'), 'GET, HEAD, OPTIONS');
  assert.equal((await ask('/v1/completions', undefined, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{"prompt":"a"}' })).status, 415);
  const compressed = await ask('/v1/completions', undefined, { method: 'POST', headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, body: gzipSync('{"prompt":"a"}') });
  assert.deepEqual([compressed.status, compressed.body.error.message], [415, 'the body must not be compressed']);
  assert.equal((await ask('/v1/completions', { prompt: 'a'.repeat(30_000) })).status, 413);
  const chunked = new ReadableStream({ pull(controller) { controller.enqueue(new Uint8Array(8192).fill(32)); } });
  const cut = await ask('/v1/completions', undefined, { method: 'POST', headers: { 'content-type': 'application/json' }, body: chunked, duplex: 'half' } as RequestInit);
  assert.deepEqual([cut.status, cut.body.error.code], [413, 'body_too_large']);
  const named = await new Promise<number>((resolve) => { httpRequest(`${endpoint.url}/health`, { headers: { host: 'evil.example' } }, (response) => { response.resume(); resolve(response.statusCode!); }).end(); });
  assert.equal(named, 403);
  const raw = await new Promise<string>((resolve) => {
    let text = '';
    const socket = connect(endpoint.port, '127.0.0.1', () => socket.end('nonsense\r\n\r\n'));
    socket.on('data', (part) => { text += String(part); }).on('close', () => resolve(text));
  });
  assert.match(raw, /^HTTP\/1\.1 400 [^]*"error"/);
});

test('pages may read answers only where their origin is allowed', async () => {
  const origin = 'https://page.example';
  const preflight = { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } };
  assert.equal((await ask('/v1/completions', undefined, preflight)).headers.get('access-control-allow-origin'), null);
  const open = await openEndpoint('host', model, { ...base, allowOrigin: origin });
  const allowed = await ask('/v1/completions', undefined, { ...preflight, url: open.url });
  assert.deepEqual([allowed.status, allowed.headers.get('access-control-allow-origin'), allowed.headers.get('access-control-allow-headers')], [204, origin, 'content-type, authorization']);
  // Client libraries add headers of their own, which pages may send only where they are told so.
  const library = await ask('/v1/completions', undefined, { ...preflight, headers: { ...preflight.headers, 'access-control-request-headers': 'authorization,content-type,x-library-os' }, url: open.url });
  assert.equal(library.headers.get('access-control-allow-headers'), 'authorization,content-type,x-library-os');
  assert.equal((await ask('/health', undefined, { headers: { origin }, url: open.url })).headers.get('access-control-allow-origin'), origin);
  assert.equal((await ask('/health', undefined, { headers: { origin: 'https://other.example' }, url: open.url })).headers.get('access-control-allow-origin'), null);
  await open.close();
});

/** A request whose client goes away after the first event. */
async function leave(url: string): Promise<void> {
  const abort = new AbortController();
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, signal: abort.signal, body: JSON.stringify({ ...greedy, max_tokens: 110, stream: true }) });
  await response.body!.getReader().read();
  abort.abort();
}

test('answers come one after another; too many waiting are sent away; those whose client left are given up', async () => {
  const lines: string[] = [];
  const slow = await openEndpoint('host', { ...model, generate: (prompt, options) => slowly(model.generate(prompt, options)) }, { ...base, onAnswer: (line) => lines.push(line) });
  async function* slowly(pieces: ReturnType<typeof model.generate>): ReturnType<typeof model.generate> {
    for (;;) {
      const next = await pieces.next();
      await new Promise((resolve) => { setTimeout(resolve, 10); });
      if (next.done === true) return next.value;
      yield next.value;
    }
  }
  const short = { ...greedy, max_tokens: 6 };
  const answers = await Promise.all(Array.from({ length: 5 }, () => ask('/v1/completions', short, { url: slow.url })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 200, 503, 503]);
  const busy = answers.find(({ status }) => status === 503)!;
  assert.deepEqual([busy.body.error.code, busy.headers.get('retry-after')], ['queue_full', '1']);
  assert.equal(new Set(answers.filter(({ status }) => status === 200).map(({ body }) => body.choices[0].text)).size, 1);
  await leave(slow.url);
  assert.equal((await ask('/v1/completions', short, { url: slow.url })).status, 200);
  assert.match(lines.at(-2)!, /cancelled/);
  await slow.close();
});

test('an answer ends where neither its request nor a context says when', async () => {
  const asked: (number | undefined)[] = [];
  const endless = await openEndpoint('host', {
    ...model, decoder: Object.create(model.decoder, { context: { value: 2 ** 31 } }),
    generate: (prompt, options) => { asked.push(options?.maxTokens); return model.generate(prompt, { ...options, maxTokens: 2 }); },
  }, base);
  const messages = [{ role: 'user', content: 'a' }];
  for (const limit of [{}, { max_tokens: 9000 }]) assert.equal((await ask('/v1/chat/completions', { messages, ...limit }, { url: endless.url })).status, 200);
  assert.deepEqual(asked, [4096, 9000]);
  assert.ok(!('context_length' in (await ask('/v1/models', undefined, { url: endless.url })).body.data[0]));
  await endless.close();
});

test('closing lets the running answer end; closing now cuts it off', async () => {
  for (const now of [false, true]) {
    const stopping = await openEndpoint('host', model, base);
    const response = await fetch(`${stopping.url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...greedy, max_tokens: 120, stream: true }) });
    const text = response.text();
    const closed = stopping.close({ now });
    if (now) await assert.rejects(text);
    else assert.equal(events(await text).at(-1), '[DONE]');
    await closed;
    await assert.rejects(ask('/health', undefined, { url: stopping.url }));
  }
});

test('a folder is served, and a port that is taken gets one line', async () => {
  const served = await serve({ model: location, port: 0, threads: 1, context: 64 });
  assert.equal((await ask('/v1/models', undefined, { url: served.url })).body.data[0].id, 'host-llama-shakespeare');
  const noTemplate = await ask('/v1/chat/completions', { messages: [{ role: 'user', content: 'a' }] }, { url: served.url });
  assert.deepEqual([noTemplate.status, noTemplate.body.error.code], [400, 'no_chat_template']);
  assert.match(noTemplate.body.error.message, /send a prompt to \/v1\/completions/);
  await assert.rejects(serve({ model: location, port: served.port, threads: 1, context: 64 }), /cannot listen on 127\.0\.0\.1, port \d+: EADDRINUSE/);
  await assert.rejects(serve({ model: location, allowOrigin: 'example.org' }), /--allow-origin: must look like https:\/\/example\.org/);
  await served.close();
});
