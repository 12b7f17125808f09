import { readJson } from '../../src/files/json.ts';
import { answers, crafted } from './answers.ts';
import { hostileJson } from './json-cases.ts';

for (const { name, bytes, expect } of hostileJson) answers(name, () => crafted('hostile.json', bytes), (source) => readJson(source), expect);
