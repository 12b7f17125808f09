/** Low-bit folders, decoded by a reader written from the descriptions of the layouts and by the project's own. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { shardIndex, shardsOf } from '../../src/export/safetensors-shards.ts';
import { fileSink, openFolder } from '../../src/files/fs-node.ts';
import { readFloats } from '../../src/files/values.ts';
import { copyTensor, floatTensor } from '../../src/tensor-ref.ts';
import { outputSpecs } from '../../src/jobs/outputs.ts';
import { silentProgress } from '../../src/jobs/progress.ts';
import { recipeRunner } from '../../src/jobs/recipe-runner.ts';
import { parseSettings, type QuantizeRequest } from '../../src/jobs/settings.ts';
import { languageSource } from '../../src/jobs/source.ts';
import type { Written } from '../../src/jobs/target.ts';
import { safetensorsTarget } from '../../src/jobs/targets/safetensors.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import type { QuantizedMatrix } from '../../src/round/quantized-matrix.ts';
import { inlinePool } from '../../src/round/pool.ts';
import { layer, readFolder } from './low-bit-reader.ts';

const host = join(import.meta.dirname, '../../assets/host-llama-shakespeare');
const language = await openLanguageModel(await openFolder(host));
const model = languageSource(language, 'host', host, 'huggingface', []);
let root: string;
before(async () => { root = await mkdtemp(join(tmpdir(), 'fewbit-safetensors-')); });
after(async () => {
  await language.close();
  await rm(root, { recursive: true });
});

interface Made { readonly folder: string; readonly written: Written; readonly weights: ReadonlyMap<string, QuantizedMatrix> }

const settingsOf = (request: Partial<QuantizeRequest>) => parseSettings({ model: host, output: root, to: 'safetensors', recipe: 'rtn', verdict: false, ...request });

async function write(request: Partial<QuantizeRequest>, source = model): Promise<Made> {
  const settings = settingsOf(request);
  const apply = recipeRunner(source, settings, { engine: ortNode });
  const [spec] = outputSpecs(source, settings);
  const written = await safetensorsTarget.write({
    model: source, spec, settings, plan: await safetensorsTarget.plan(source, spec, settings), pool: inlinePool(), progress: silentProgress,
    apply: () => apply(spec), importance: async () => new Map(),
    open: async (path) => {
      await mkdir(dirname(join(root, path)), { recursive: true });
      return fileSink(join(root, path));
    },
  });
  return { folder: join(root, dirname(spec.file)), written, weights: (await apply(spec)).weights };
}

const cases: readonly (readonly [layout: string, format: string, stored: string, activations?: 'dynamic'])[] = [
  ['compressed-tensors', 'int4/g128', 'pack-quantized'], ['compressed-tensors', 'uint4/g32', 'pack-quantized'], ['compressed-tensors', 'int8/channel', 'pack-quantized'],
  ['compressed-tensors', 'int4-full/g64@f16', 'pack-quantized'], ['compressed-tensors', 'uint8/tensor', 'pack-quantized'], ['compressed-tensors', 'int8/channel', 'int-quantized', 'dynamic'],
  ['compressed-tensors', 'int8/tensor', 'int-quantized', 'dynamic'], ['compressed-tensors', 'e4m3/channel', 'float-quantized'], ['compressed-tensors', 'e4m3/tensor', 'float-quantized', 'dynamic'],
  ['compressed-tensors', 'e4m3/128x128', 'float-quantized'], ['compressed-tensors', 'nvfp4', 'nvfp4-pack-quantized'], ['compressed-tensors', 'mxfp4', 'mxfp4-pack-quantized'],
  ['gptq', 'int4/g128', 'gptq'], ['gptq', 'uint4/g64', 'gptq_v2'], ['gptq', 'int3/g128', 'gptq'], ['gptq', 'int8/channel', 'gptq'], ['gptq', 'uint2/g32', 'gptq_v2'],
  ['awq', 'int4/g128', 'gemm'], ['awq', 'uint4/g64', 'gemm'], ['awq', 'uint4/channel', 'gemm'],
];

for (const [layout, format, stored, activations] of cases) {
  test(`${layout} ${format}${activations === undefined ? '' : ' with dynamic activations'} is read back as what the codes decode to (${stored})`, async () => {
    const { folder, weights } = await write({ layout: layout as 'gptq', weights: format, keep: ['*.layers.1.*', '*.layers.2.*', '*.layers.3.*', '*.layers.4.*', '*.layers.5.*', '*.up_proj.weight'], ...(activations === undefined ? {} : { activations }) });
    const { tensors, config } = await readFolder(folder);
    const { quantization_config: quantization, ...rest } = config;
    assert.deepEqual(rest, JSON.parse(await readFile(join(host, 'config.json'), 'utf8')));
    assert.equal(quantization.checkpoint_format ?? quantization.version ?? quantization.format, stored);
    const again = await openLanguageModel(await openFolder(folder));
    try {
      assert.deepEqual([...again.lowBit].sort(), [...weights.keys()].sort());
      assert.equal(weights.size, 6);
      for (const [name, matrix] of weights) {
        const { rows, cols } = matrix;
        const at = layer(tensors, name.replace(/\.weight$/, ''), [rows, cols], config);
        const expected = matrix.format.decode(await matrix.read(0, rows));
        const own = await readFloats(again.tensors.get(name)!);
        const halved = layout !== 'compressed-tensors' || format.endsWith('f16');
        for (let n = 0, i = 0; n < rows; n++) {
          for (let k = 0; k < cols; k++, i++) {
            const { level, scale } = at(n, k);
            const value = level * scale;
            if (!(Math.abs(value - expected[i]) <= Math.abs(expected[i]) * (halved ? 2 ** -11 : 2 ** -22))) assert.fail(`${name} [${n}, ${k}]: ${value}, the codes say ${expected[i]}`);
            if (!(Math.abs(value - own[i]) <= Math.abs(value) * 2 ** -22)) assert.fail(`${name} [${n}, ${k}]: ${value}, read back as ${own[i]}`);
          }
        }
      }
      for (const [name, tensor] of language.tensors) {
        if (weights.has(name)) continue;
        assert.deepEqual(await again.tensors.get(name)!.read(), await tensor.read(), `${name} is as it was`);
      }
    } finally {
      await again.close();
    }
  });
}

test('an untied head and biases keep their bytes, in bf16', async () => {
  const path = join(import.meta.dirname, '../models/fixtures/llama-biases-llama3');
  const biased = await openLanguageModel(await openFolder(path));
  const { folder, weights } = await write({ weights: 'int8/channel' }, languageSource(biased, 'biased', path, 'huggingface', []));
  const again = await openLanguageModel(await openFolder(folder));
  assert.ok(weights.has('lm_head.weight') && !again.lowBit.includes('lm_head.weight'));
  assert.equal(again.lowBit.length, weights.size - 1);
  for (const [name, tensor] of biased.tensors) {
    if (again.lowBit.includes(name)) continue;
    assert.equal(tensor.type, 'bf16');
    assert.deepEqual(await again.tensors.get(name)!.read(), await tensor.read(), name);
  }
  await Promise.all([biased.close(), again.close()]);
});

test('a float type that is asked for is written throughout, and named in the configuration', async () => {
  const { folder } = await write({ weights: 'bf16' });
  const { tensors, config } = await readFolder(folder);
  assert.equal(config.torch_dtype, 'bfloat16');
  assert.equal(config.quantization_config, undefined);
  assert.equal(tensors.size, language.tensors.size);
  for (const [name, { dtype, view }] of tensors) {
    const values = await readFloats(language.tensors.get(name)!);
    assert.equal(dtype, 'BF16');
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    // Nearest, ties to even, of the upper half.
    assert.ok(bits.every((b, i) => view.getUint16(i * 2, true) === (b + 0x7fff + ((b >>> 16) & 1)) >>> 16), name);
  }
});

test('layers left float are named in the words of each layout', async () => {
  const keep = ['*.layers.5.*', '*.up_proj.weight', '*.layers.0.*', '*.layers.1.*', '*.layers.2.*', '*.layers.3.*'];
  const config = async (layout: 'gptq' | 'awq' | 'compressed-tensors') => (await readFolder((await write({ layout, weights: 'int4/g64', keep })).folder)).config.quantization_config as Record<string, any>;
  assert.ok((await config('compressed-tensors')).ignore.includes('model.layers.5.mlp.down_proj'));
  assert.ok((await config('compressed-tensors')).ignore.includes('lm_head'));
  assert.ok((await config('awq')).modules_to_not_convert.includes('model.layers.4.mlp.up_proj'));
  assert.ok('-:^model\\.layers\\.5\\.self_attn\\.q_proj$' in (await config('gptq')).dynamic);
});

test('layers with a format of their own have a group or a pattern of their own, and are read back in it', async () => {
  const keep = ['*.layers.1.*', '*.layers.2.*', '*.layers.3.*', '*.layers.4.*', '*.layers.5.*'];
  const [down, up] = ['model.layers.0.mlp.down_proj', 'model.layers.0.mlp.up_proj'];
  let said: readonly string[] = [];
  const made = async (request: Partial<QuantizeRequest>) => {
    const { folder, weights, written: { notes } } = await write({ keep, ...request });
    const { config: { quantization_config: quantization } } = await readFolder(folder);
    const again = await openLanguageModel(await openFolder(folder));
    for (const [name, matrix] of weights) {
      const [expected, found] = [matrix.format.decode(await matrix.read(0, matrix.rows)), await readFloats(again.tensors.get(name)!)];
      const off = found.findIndex((value, i) => !(Math.abs(value - expected[i]) <= Math.abs(expected[i]) * 2 ** -10));
      assert.equal(off, -1, `${name} ${matrix.format.name}`);
    }
    await again.close();
    said = notes;
    return quantization as { format: string; config_groups: Record<string, { targets: string[]; format?: string; weights: Record<string, unknown> }>; dynamic: Record<string, object> };
  };
  const packed = await made({ weights: 'int4/g64', layer: `${down}.weight=int8/channel` });
  assert.equal(packed.format, 'pack-quantized');
  assert.ok(!said.some((note) => note.includes('several formats')));
  assert.deepEqual(Object.values(packed.config_groups).map(({ targets, format, weights }) => [targets, format, weights.num_bits, weights.strategy, weights.group_size]), [[['Linear'], undefined, 4, 'group', 64], [[down], undefined, 8, 'channel', null]]);
  const mixed = await made({ weights: 'int4/g64', layer: `${down}.weight=e4m3/channel,${up}.weight=mxfp4` });
  assert.equal(mixed.format, 'mixed-precision');
  assert.ok(said.includes('gate_proj, up_proj of model.layers.0.mlp have several formats: transformers loads them, servers that join them, such as vLLM, want one'));
  assert.deepEqual(Object.values(mixed.config_groups).map(({ targets, format }) => [targets, format]), [[['Linear'], 'pack-quantized'], [[up], 'mxfp4-pack-quantized'], [[down], 'float-quantized']]);
  const gptq = await made({ layout: 'gptq', weights: 'int4/g64', layer: `${down}.weight=int8/g128` });
  assert.deepEqual(gptq.dynamic['+:^model\\.layers\\.0\\.mlp\\.down_proj$'], { bits: 8, group_size: 128 });

  const refused = async (request: Partial<QuantizeRequest>) => {
    const settings = settingsOf(request);
    return (await safetensorsTarget.plan(model, outputSpecs(model, settings)[0], settings)).refusals;
  };
  assert.deepEqual(await refused({ layout: 'awq', weights: 'int4/g64', layer: `${down}.weight=int4/g128` }), [`${down}.weight: awq folders have one format for all layers`]);
  assert.deepEqual(await refused({ layout: 'gptq', weights: 'int4/g64', layer: `${down}.weight=uint4/g64` }), [`${down}.weight: gptq folders have zero points of one version: beside int4/g64 a layer takes int formats`]);
  assert.deepEqual(await refused({ weights: 'int4/g64', layer: 'model.embed_tokens.weight=int8/channel' }), ['model.embed_tokens.weight: loaders of these folders expect floats there']);
  assert.deepEqual(await refused({ weights: 'bf16', layer: `${down}.weight=int8/channel` }), [`${down}.weight: a folder of bf16 has that type for all layers`]);
});

test('what a layout cannot hold is refused in the plan, or stays float where that is allowed', async () => {
  const plan = (request: Partial<QuantizeRequest>) => {
    const settings = settingsOf(request);
    return safetensorsTarget.plan(model, outputSpecs(model, settings)[0], settings);
  };
  const reasons = async (request: Partial<QuantizeRequest>) => [...new Set((await plan(request)).refusals.map((line) => line.replace(/^[^:]*: /, '')))];
  assert.deepEqual(await reasons({ layout: 'awq', weights: 'int8/channel' }), ['awq holds integers of 4 bits in groups along the row, not int8/channel']);
  assert.deepEqual(await reasons({ layout: 'gptq', weights: 'int4/g96' }), ['gptq needs an input width divisible by the group of 96, got 256', 'gptq needs an input width divisible by the group of 96, got 512']);
  assert.deepEqual(await reasons({ layout: 'gptq', weights: 'nf4/b64' }), ['gptq holds integers of 2, 3, 4, 8 bits in groups along the row, not nf4/b64']);
  assert.deepEqual(await reasons({ weights: 'int3/g128' }), ['compressed-tensors holds integers of 4 or 8 bits, e4m3, nvfp4 and mxfp4, not int3/g128']);
  assert.deepEqual(await reasons({ weights: 'int4/g128' }), []);
  const { refusals, tensors } = await plan({ layout: 'awq', weights: 'int4/g512', allowFallback: true });
  assert.deepEqual(refusals, []);
  const line = (part: string) => tensors.find(({ name }) => name === `model.layers.0.${part}.weight`)!;
  assert.equal(line('mlp.down_proj').target, 'int4/g512');
  assert.equal(line('self_attn.q_proj').target, 'f32');
  assert.match(line('self_attn.q_proj').fallback!, /group of 512, got 256/);
});

test('large folders are cut between tensors, with an index', () => {
  const tensors = ['a', 'b', 'c', 'd'].map((name) => copyTensor(floatTensor(name, [10], new Float32Array(10))));
  assert.deepEqual(shardsOf(tensors, 1000).map(({ file }) => file), ['model.safetensors']);
  const shards = shardsOf(tensors, 90);
  assert.deepEqual(shards.map(({ file, tensors: part }) => [file, part.map(({ name }) => name).join('')]), [['model-00001-of-00002.safetensors', 'ab'], ['model-00002-of-00002.safetensors', 'cd']]);
  assert.deepEqual(shardIndex(shards), { metadata: { total_size: 160 }, weight_map: { a: shards[0].file, b: shards[0].file, c: shards[1].file, d: shards[1].file } });
});
