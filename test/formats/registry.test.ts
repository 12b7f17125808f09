import { test } from 'node:test';
import assert from 'node:assert/strict';
import { formatHelp, formatNames, isScaled, parseFormat } from '../../src/formats/index.ts';

test('every listed spelling is canonical: it parses to a format of that very name', () => {
  for (const name of formatNames()) assert.equal(parseFormat(name).name, name);
  assert.equal(new Set(formatNames()).size, formatNames().length);
  assert.deepEqual(formatHelp().map(([name]) => name), formatNames());
});

test('canonical names parse back to themselves, aliases and all', () => {
  const rows: [string, string][] = [
    ['INT4 / G128', 'int4/g128'], ['int4', 'int4/g128'], ['int8', 'int8/channel'], ['Int8/per-channel', 'int8/channel'],
    ['uint4_full', ''], ['int4_full/b32', 'int4-full/g32'], ['int4/group32', 'int4/g32'], ['int1/tensor', 'binary/tensor'],
    ['fp8', 'e4m3/tensor'], ['E4M3FN/channel', 'e4m3/channel'], ['e5m2/token', 'e5m2/token'], ['fp8/128x128', 'e4m3/128x128'],
    ['e2m1/g16@UE5M3', 'e2m1/b16@ue5m3'], ['e2m1/b32@e8m0', 'mxfp4'], ['e5m2/b32@e8m0', 'mxfp8_e5m2'], ['fp4/b16', 'e2m1/g16'],
    ['MXFP6 E2M3', 'mxfp6_e2m3'], ['mxfp8', 'mxfp8_e4m3'], ['NVFP4_4over6', 'nvfp4-4over6'], ['NF4', 'nf4/b64'],
    ['nf4/g64', 'nf4/g64'], ['nf4/b128+dq', 'nf4/b128+dq'], ['KMeans3/channel', 'kmeans3/channel'], ['kmeans2', 'kmeans2/tensor'],
    ['ternary', 'ternary/tensor'], ['Binary', 'binary/channel'], ['FP16', 'f16'], ['bfloat16', 'bf16'], ['Q4-K', 'q4_k'], ['q4_0', 'q4_0'],
    ['int4/g32@f16', 'int4/g32@f16'], ['uint4/g32@bf16', 'uint4/g32@bf16'], ['ggml_mxfp4', 'ggml-mxfp4'], ['e3m4/tensor', 'e3m4/tensor'],
  ];
  for (const [spelling, name] of rows) {
    if (name === '') assert.throws(() => parseFormat(spelling), /^FewbitError: unknown format/, spelling);
    else {
      assert.equal(parseFormat(spelling).name, name, spelling);
      assert.equal(parseFormat(name).name, name);
    }
  }
});

test('a spelling that is no format is named with what is known', () => {
  assert.throws(() => parseFormat('q4_5'), /unknown format: q4_5 \(known: f32, f16, bf16, int8\/channel, /);
  for (const bad of ['', 'int9/tensor', 'int0', 'e4m4', 'e8m0/tensor', 'e0m3', 'ue5m3/tensor', 'int4/', '/g32', 'kmeans9', 'constructor', '__proto__']) {
    assert.throws(() => parseFormat(bad), { code: 'format.unknown' }, bad);
  }
});

test('a part that does not fit is named', () => {
  assert.throws(() => parseFormat('int4/q7'), /unknown granularity in int4\/q7: q7 \(known: tensor, channel, token, g128, 128x128\)/);
  assert.throws(() => parseFormat('int4/g0'), { code: 'format.granularity' });
  assert.throws(() => parseFormat('int4/g32@e9m9'), /unknown scale type in int4\/g32@e9m9: e9m9 \(known: f32, f16/);
  assert.throws(() => parseFormat('mxfp4/g16'), /mxfp4\/g16: mxfp4 takes no granularity/);
  assert.throws(() => parseFormat('q4_k@f16'), /q4_k takes no scale type/);
  assert.throws(() => parseFormat('int4/g32+dq'), /int4 takes no \+dq/);
  assert.throws(() => parseFormat('kmeans4/g32'), { code: 'format.granularity' });
  assert.throws(() => parseFormat('iq2_xxs'), { code: 'format.notEncoded' });
});

test('mxfp4 and nvfp4 mean the block types where those are preferred', () => {
  assert.equal(parseFormat('mxfp4').family, 'microscaling');
  for (const name of ['mxfp4', 'nvfp4']) {
    const block = parseFormat(name, 'ggml');
    assert.equal(block.family, 'ggml');
    assert.equal(block.name, `ggml-${name}`);
    assert.equal(block.blockType, name);
    assert.equal(block.encode(new Float32Array(64), 1, 64).format, `ggml-${name}`);
  }
  assert.equal(parseFormat('int4/g32', 'ggml').family, 'integer');
});

test('bits per weight count scales, zero points, codebooks and tensor scales', () => {
  const rows: [string, number][] = [
    ['int4/g128', 4.25], ['int4/g128@f16', 4.125], ['uint4/g32', 4 + 36 / 32], ['int8/tensor', 8 + 32 / 65536], ['int8/channel', 8 + 32 / 256],
    ['mxfp4', 4.25], ['nvfp4', 4.5 + 32 / 65536], ['e2m1/b16@ue5m3', 4.5], ['nf4/b64', 4.5], ['nf4/b64+dq', 4 + (1024 * 8 + 4 * 32 + 32) / 65536],
    ['kmeans4/channel', 4 + (16 * 32) / 256], ['binary/channel', 1 + 32 / 256], ['ternary/g128', 2.25], ['f16', 16], ['q4_k', 4.5],
    ['e4m3/128x128', 8 + (4 * 32) / 65536],
  ];
  for (const [name, expected] of rows) assert.equal(parseFormat(name).bitsPerWeight(256, 256), expected, name);
});

test('groups and granularities are as spelled', () => {
  assert.equal(parseFormat('int4/g128').group, 128);
  assert.equal(parseFormat('int8/channel').group, Infinity);
  const format = parseFormat('uint4/g32');
  assert.ok(isScaled(format));
  assert.deepEqual(format.integer, { qmin: 0, qmax: 15, asymmetric: true });
  assert.deepEqual(format.granularity, { kind: 'group', size: 32 });
  assert.ok(!isScaled(parseFormat('q4_k')));
});
