/** Options that code gives to a language model, looked at before they are used: what is wrong with one is told by its name. */
import { defineErrors } from '../errors.ts';
import { isBlockType } from '../tensor-ref.ts';
import type { GenerateOptions } from './generate.ts';
import { cacheFormats } from './kv-caches.ts';
import type { TextModelOptions } from './text-model.ts';

const errors = defineErrors('option', {
  value: (f: { name: string; value: string; expected: string }) => `${f.name} is ${f.value}: it must be ${f.expected}`,
});

function check(name: string, value: unknown, holds: boolean, expected: string): void {
  if (value !== undefined && !holds) throw errors.value({ name, value: (typeof value === 'number' ? String(value) : JSON.stringify(value) ?? String(value)).slice(0, 100), expected });
}

const whole = (value: number | undefined, least: number): boolean => Number.isSafeInteger(value) && value! >= least;
const positive = 'a whole number above 0';

export function checkOpening({ context, sequences, draftTokens, cache, weights, device, inputs }: TextModelOptions): void {
  check('context', context, whole(context, 1), positive);
  check('sequences', sequences, whole(sequences, 1), positive);
  check('draftTokens', draftTokens, whole(draftTokens, 1), positive);
  check('cache', cache, typeof cache === 'function' || cacheFormats.includes(cache!), `one of ${cacheFormats.join(', ')}`);
  check('weights', weights, typeof weights === 'object' || isBlockType(weights!), 'a block type such as q4_0, or a format');
  check('device', device, device === 'cpu' || device === 'webgpu', 'cpu or webgpu');
  check('inputs', inputs, inputs === 'int8' || inputs === 'float', 'int8 or float');
}

export function checkWriting({ maxTokens, stop, temperature, topK, topP, minP, repetitionPenalty, seed }: GenerateOptions): void {
  check('maxTokens', maxTokens, maxTokens === Infinity || whole(maxTokens, 0), 'a whole number, or Infinity');
  check('stop', stop, Array.isArray(stop) && stop.every((one) => typeof one === 'string' && one !== ''), 'a list of texts, none of them empty');
  check('temperature', temperature, temperature! >= 0 && temperature! < Infinity, 'a number from 0 on');
  check('topK', topK, whole(topK, 0), 'a whole number from 0 on');
  check('topP', topP, topP! >= 0 && topP! <= 1, 'a number from 0 to 1');
  check('minP', minP, minP! >= 0 && minP! <= 1, 'a number from 0 to 1');
  check('repetitionPenalty', repetitionPenalty, repetitionPenalty! > 0 && repetitionPenalty! < Infinity, 'a number above 0');
  check('seed', seed, Number.isSafeInteger(seed), 'a whole number');
}
