/**
 * JSON lines: one object per sample, its keys are input names and its values nested arrays of numbers (or one number);
 * an optional key `label` holds the class. Inputs become float32, or int64 where the caller names them.
 */
import { defineErrors } from '../../errors.ts';
import { i64, type Tensor } from '../../engine/tensor.ts';
import { arrayDataset, joinRows, type Dataset } from './dataset.ts';

/** A data set of this format is parsed in memory. */
export const maxJsonlBytes = 256 * 1024 * 1024;
const maxDepth = 16;

const errors = defineErrors('jsonl', {
  tooLarge: (f: { name: string; size: number }) => `${f.name}: ${f.size} bytes (limit ${maxJsonlBytes})`,
  notJson: (f: { name: string; line: number }) => `${f.name}: line ${f.line} is not a JSON object`,
  notNumbers: (f: { name: string; line: number; key: string }) => `${f.name}: line ${f.line}: ${f.key} is not a rectangular array of finite numbers`,
  otherKeys: (f: { name: string; line: number; keys: string; expected: string }) => `${f.name}: line ${f.line} has inputs ${f.keys}, the first line has ${f.expected}`,
  notWhole: (f: { name: string; line: number; key: string; value: number }) => `${f.name}: line ${f.line}: ${f.key} holds ${f.value}, the model takes whole numbers there`,
  badLabel: (f: { name: string; line: number }) => `${f.name}: line ${f.line}: label is not a whole number`,
});

/** Inputs named in `integers` become int64; their values must be whole. */
export function jsonLines(name: string, bytes: Uint8Array, integers: ReadonlySet<string> = new Set()): Dataset {
  if (bytes.length > maxJsonlBytes) throw errors.tooLarge({ name, size: bytes.length });
  const rows = new Map<string, Tensor[]>();
  const labels: number[] = [];
  let keys: string | undefined;
  new TextDecoder().decode(bytes).split('\n').forEach((text, i) => {
    if (text.trim() === '') return;
    const line = i + 1;
    const sample = parseObject(text, name, line);
    if ('label' in sample) {
      if (!Number.isSafeInteger(sample.label)) throw errors.badLabel({ name, line });
      labels.push(sample.label as number);
    }
    const inputs = Object.keys(sample).filter((key) => key !== 'label');
    keys ??= inputs.join(', ');
    if (inputs.join(', ') !== keys) throw errors.otherKeys({ name, line, keys: inputs.join(', '), expected: keys });
    for (const key of inputs) {
      const row = numbersOf(sample[key], () => errors.notNumbers({ name, line, key }));
      const shape = [1, ...row.shape];
      const broken = integers.has(key) ? row.values.find((value) => !Number.isSafeInteger(value)) : undefined;
      if (broken !== undefined) throw errors.notWhole({ name, line, key, value: broken });
      const tensor: Tensor = integers.has(key) ? i64(shape, row.values) : { type: 'f32', shape, data: Float32Array.from(row.values) };
      const list = rows.get(key);
      if (list === undefined) rows.set(key, [tensor]);
      else list.push(tensor);
    }
  });
  const arrays = new Map([...rows].map(([key, tensors]) => [key, joinRows(name, key, tensors)]));
  return arrayDataset(name, arrays, labels.length === 0 ? undefined : i64([labels.length], labels));
}

function parseObject(text: string, name: string, line: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw errors.notJson({ name, line });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw errors.notJson({ name, line });
  return value as Record<string, unknown>;
}

function numbersOf(value: unknown, fail: () => Error): { shape: number[]; values: number[] } {
  const shape: number[] = [];
  for (let inner = value; Array.isArray(inner); inner = inner[0]) {
    shape.push(inner.length);
    if (shape.length > maxDepth) throw fail();
  }
  const values: number[] = [];
  const walk = (part: unknown, axis: number): void => {
    if (axis === shape.length) {
      if (typeof part !== 'number' || !Number.isFinite(part)) throw fail();
      values.push(part);
    } else {
      if (!Array.isArray(part) || part.length !== shape[axis]) throw fail();
      for (const item of part) walk(item, axis + 1);
    }
  };
  walk(value, 0);
  return { shape, values };
}
