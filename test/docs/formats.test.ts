import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as ort from 'onnxruntime-node';
import { onnxBytes } from '../../src/files/onnx-write.ts';
import { formatHelp, parseFormat } from '../../src/formats/registry.ts';
import { requestedSchemes, type ModelKind, type Target } from '../../src/jobs/schemes.ts';
import { formatsTable, inFormat, page, withTable } from './formats-table.ts';

const text = readFileSync(page, 'utf8');

test('the table of formats is what the registry and the writers say', async () => {
  assert.equal(text, withTable(text, await formatsTable()), 'node --import tsx test/docs/formats-table.ts brings docs/formats.md up to date');
});

test('every format that the table puts into ONNX files runs in ONNX Runtime', async () => {
  for (const [spelling] of formatHelp()) {
    const format = parseFormat(spelling);
    if (format.family === 'float' || format.family === 'ggml') continue;
    const session = await ort.InferenceSession.create(await onnxBytes(await inFormat(format)), { logSeverityLevel: 4 });
    const { y } = await session.run({ x: new ort.Tensor('float32', new Float32Array(256).fill(1), [1, 256]) });
    assert.ok((y.data as Float32Array).every(Number.isFinite), spelling);
  }
});

test('the table of --bits names the formats that requests get', () => {
  const targets: [Target, ModelKind][] = [['gguf', 'lm'], ['transformers.js', 'lm'], ['onnx', 'lm'], ['onnx', 'onnx'], ['safetensors', 'lm']];
  const rows = text.slice(text.indexOf('| bits | GGUF')).split('\n').slice(2).filter((row) => row.startsWith('|'));
  for (const row of rows) {
    const [bits, ...cells] = row.split('|').slice(1, -1).map((cell) => cell.trim());
    if (bits.includes(',')) continue;
    targets.forEach(([to, kind], i) => {
      const schemes = (): string[] => requestedSchemes({ to: [to], bits: [Number(bits)] }, kind).flatMap(({ scheme }) => [scheme.weights, scheme.label]);
      if (cells[i] === '') assert.throws(schemes, /has no default for/, `${bits} bits in ${to}`);
      else assert.ok(schemes().some((name) => cells[i].includes(`\`${name}\``)), `${bits} bits in ${to}: ${cells[i]}`);
    });
  }
  assert.equal(rows.length, 6);
});
