import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { converse, type Answer } from '../../src/jobs/converse-node.ts';
import { run } from '../../src/jobs/run-node.ts';

const draft = new URL('../../assets/draft-llama-shakespeare', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'fewbit-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const chatting = join(folder, 'chatting');
cpSync(draft, chatting, { recursive: true });
const config = join(chatting, 'tokenizer_config.json');
writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, 'utf8')) as object, chat_template: '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ' }));

async function* lines(...all: string[]): AsyncGenerator<string> { yield* all; }
const settings = { threads: 1, maxTokens: 8, context: 96 };

async function talk(model: string, ...said: string[]): Promise<{ answers: Answer[]; refused: string[]; turns: number; chats: boolean | undefined; text: string }> {
  const found = { answers: [] as Answer[], refused: [] as string[], turns: 0, chats: undefined as boolean | undefined, text: '' };
  await converse({ ...settings, model, ...(model === chatting ? { system: 'Be brief.' } : {}) }, lines(...said), {
    onOpen: ({ chats }) => { found.chats = chats; }, onTurn: () => { found.turns++; }, onText: (text) => { found.text += text; },
    onAnswer: (answer) => { found.answers.push(answer); }, onRefused: ({ message }) => { found.refused.push(message); },
  });
  return found;
}

test('a conversation goes by the chat template, with all that was said, and reads none of it twice', async () => {
  const { answers, chats, turns, text } = await talk(chatting, 'Good morrow', '', 'And thou?', '/clear', 'Good morrow');
  assert.deepEqual([chats, turns, answers.length], [true, 6, 3]);
  assert.equal(text, answers.map((answer) => answer.text).join(''));
  const alone = await run({ ...settings, model: chatting, prompt: 'Good morrow', chat: true, system: 'Be brief.' });
  assert.equal(answers[0].text, alone.text);
  assert.equal(answers[2].text, alone.text, 'what was said is forgotten');
  const [first, second] = answers;
  assert.ok(second.promptTokens > first.promptTokens + first.ids.length && second.cachedTokens >= first.promptTokens);
});

test('without a template every line is continued by itself', async () => {
  const { answers, chats } = await talk(draft, 'ROMEO:', 'JULIET:');
  assert.equal(chats, false);
  assert.equal(answers[1].text, (await run({ ...settings, model: draft, prompt: 'JULIET:' })).text);
});

test('a line that does not fit is refused and counts as not said', async () => {
  const { answers, refused } = await talk(chatting, 'Good morrow', 'word '.repeat(200), 'And thou?');
  assert.equal(answers.length, 2);
  assert.match(refused.join(), /^\d+ tokens do not fit into a context of 96$/);
  assert.ok(answers[1].cachedTokens > 0 && answers[1].promptTokens < 96);
});
