import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FewbitError } from '../../src/errors.ts';
import { openFile } from '../../src/files/fs-node.ts';
import { openGguf } from '../../src/files/gguf.ts';
import { openOnnx } from '../../src/files/onnx.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { layerFormats } from '../../src/jobs/layer-formats.ts';
import { planQuantize, quantize } from '../../src/jobs/quantize-node.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import type { QuantizeRequest } from '../../src/jobs/settings.ts';

const assets = new URL('../../assets/', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'fewbit-layers-'));
process.env.FEWBIT_CACHE = join(folder, 'cache');
after(() => rmSync(folder, { recursive: true, force: true }));

const keywords: QuantizeRequest = { model: `${assets}kws-dscnn/kws-dscnn.onnx`, to: 'onnx', output: folder, overwrite: true, verdict: false };
const withData: QuantizeRequest = { ...keywords, data: `${assets}kws-dscnn/inputs.npy`, labels: `${assets}kws-dscnn/labels.npy`, calibrationSamples: 16, evaluationSamples: 16, threads: 1 };
const llama: QuantizeRequest = { model: `${assets}host-llama-shakespeare`, to: 'gguf', output: folder, overwrite: true, verdict: false };

async function graphAt(file: string): Promise<Graph> {
  const source = await openFile(join(folder, file));
  const graph = await openOnnx(source);
  await source.close();
  return graph;
}
const bitsOf = ({ nodes }: Graph): (number | undefined)[] => nodes.filter(({ op }) => op === 'MatMulNBits').map(({ attributes: { bits } }) => (bits?.kind === 'int' ? bits.value : undefined));

test('rules name layers by weight, node, name in GGUF or pattern; a name goes before patterns', async () => {
  const model = await openSource(llama.model);
  const found = (rules: readonly string[], to: readonly string[]) => layerFormats(model, { layer: [...rules], keep: [], to: [...to] });
  const both = found(['blk.0.*=q6_k', 'model.layers.0.mlp.up_proj.weight=q8_0', '/model/layers.1/mlp/down_proj/MatMul=int8', 'blk.2.ffn_down.weight=f16'], ['gguf', 'onnx']);
  const gguf = new Map(both.get('gguf')!.map(({ weight, format }) => [weight, format]));
  assert.equal(gguf.get('model.layers.0.mlp.up_proj.weight'), 'q8_0');
  assert.equal(gguf.get('model.layers.0.self_attn.q_proj.weight'), 'q6_k');
  assert.equal(gguf.get('model.layers.2.mlp.down_proj.weight'), 'f16');
  assert.equal(gguf.size, 8);
  assert.deepEqual(both.get('onnx')!.map(({ weight, format }) => [weight, format]), [['model.layers.1.mlp.down_proj.weight', 'int8/channel']]);
  await model.close();
});

const wrong: readonly (readonly [rule: string, message: RegExp, wayOut: RegExp | undefined, keep?: string])[] = [
  ['dens.weight=int8', /^--layer dens\.weight=int8: no layer has this name$/, /^names like it: dense\.weight, /],
  ['*attention*=int8', /no layer has this name/, /fewbit inspect lists all/],
  ['dense=int9', /^unknown format: int9 /, undefined],
  ['dense', /^--layer: must look like NAME=FORMAT, such as conv1\.weight=int8\/channel \(given: "dense"\)$/, undefined],
  ['dense=int8,dense.weight=int4', /^dense\.weight is given two formats: --layer dense=int8 and --layer dense\.weight=int4$/, /leave one of them out/],
  ['d*=int8,dense*=int4/channel', /^depthwise_conv2d|dense\.weight is given two formats/, /or name the layer itself/],
  ['dense=float', /floats are no format/, /^leave it float with --keep dense$/],
  ['dense=f16', /floats are no format/, /^leave it float with --keep dense$/],
  ['dense=q4_k', /^--layer dense=q4_k: onnx files cannot hold q4_k weights$/, /such as int8\/channel$/],
  ['dense=int8', /^dense\.weight is kept float by --keep d\* and given a format by --layer dense=int8$/, /leave it out/, 'd*'],
];
for (const [layer, message, wayOut, keep] of wrong) {
  test(`--layer ${layer}${keep === undefined ? '' : ` beside --keep ${keep}`} is refused in a sentence`, async () => {
    await assert.rejects(planQuantize({ ...keywords, weights: 'int4/channel', layer, ...(keep === undefined ? {} : { keep }) }), (error: unknown) => {
      assert.ok(error instanceof FewbitError);
      assert.match(error.message, message);
      if (wayOut !== undefined) assert.match(error.wayOut ?? '', wayOut);
      return true;
    });
  });
}

test('--keep takes weights, nodes, values and patterns, and names of GGUF files where one is written; what names nothing is refused', async () => {
  const planned = (request: QuantizeRequest, keep: string) => planQuantize({ ...request, bits: '4', keep }).then(() => undefined, (error: FewbitError) => `${error.message}; ${error.wayOut}`);
  for (const keep of ['dense.weight', 'dense', 'input,*conv*']) assert.equal(await planned(keywords, keep), undefined, keep);
  assert.match((await planned(keywords, 'dense,conv2d_9.weight'))!, /^--keep conv2d_9\.weight: no layer or value has this name; names like it: conv2d_\d\.weight, conv2d_\d\.weight, conv2d_\d\.weight; \* stands for anything, and fewbit inspect lists all$/);
  assert.match((await planned(keywords, '*attention*'))!, /^--keep \*attention\*: no layer or value has this name; /);
  assert.equal(await planned(llama, 'blk.0.*'), undefined);
  assert.match((await planned({ ...llama, to: 'onnx' }, 'blk.0.*'))!, /^--keep blk\.0\.\*: no layer or value/);
});

test('the plan shows layers with their own formats, and the written file holds them', async () => {
  const layer = 'dense=int8/channel,conv2d_1.weight=nf4/b64,depthwise_conv2d_*=int8/channel';
  const plan = await planQuantize({ ...keywords, weights: 'int4/channel', layer });
  const own = plan.outputs[0].tensors.filter(({ asked }) => asked).map(({ name, target }) => `${name} ${target}`);
  assert.deepEqual(own, [
    'depthwise_conv2d_1.weight int8/channel', 'conv2d_1.weight nf4/b64', 'depthwise_conv2d_2.weight int8/channel', 'depthwise_conv2d_3.weight int8/channel', 'depthwise_conv2d_4.weight int8/channel', 'dense.weight int8/channel',
  ]);
  assert.equal(plan.outputs[0].format, 'int4/channel, 6 layers as asked');
  const { outputs: [output] } = await quantize({ ...keywords, weights: 'int4/channel', layer });
  for (const { name, target, squaredError } of output.tensors.filter(({ asked }) => asked)) assert.ok(own.includes(`${name} ${target}`) && squaredError! > 0, name);
  const graph = await graphAt('kws-dscnn-int4-channel.onnx');
  assert.deepEqual(bitsOf(graph), [8]);
  const holds = (name: string, type: string) => [...graph.weights.values()].some((tensor) => tensor.name.startsWith(name) && tensor.type === type);
  assert.deepEqual([holds('conv2d_2.weight', 'i4'), holds('depthwise_conv2d_1.weight', 'i8'), holds('depthwise_conv2d_1.weight', 'i4')], [true, true, false]);
});

test('layers without an integer kernel stay packed beside integer ones', async () => {
  const result = await quantize({ ...withData, bits: '8', layer: 'dense=int4/g32,conv2d_2=int4/channel' });
  assert.deepEqual(result.outputs[0].tensors.filter(({ asked }) => asked).map(({ target }) => target), ['int4/channel', 'int4/g32']);
  const graph = await graphAt('kws-dscnn-int8.onnx');
  assert.deepEqual(bitsOf(graph), [4], 'the last layer multiplies packed codes');
  assert.ok([...graph.weights.values()].some(({ name, type }) => name.startsWith('conv2d_2') && type === 'i4'), 'four bits are four bits in the file');
  assert.ok([...graph.weights.values()].filter(({ type }) => type === 'i8' || type === 'u8').length > 6, 'the others are integers of 8 bits');
});

test('a fixed layer counts in the budget and is not chosen for', async () => {
  const result = await quantize({ ...keywords, bits: '6.25', layer: 'conv2d_3=int8/channel,conv2d_4.weight=int3/channel' });
  const { allocation, tensors, notes } = result.outputs[0];
  assert.equal(allocation!.layers.find(({ id }) => id === 'conv2d_3.weight')!.format, 'int8/channel');
  assert.equal(allocation!.layers.find(({ id }) => id === 'conv2d_4.weight')!.format, 'int3/channel');
  assert.equal(tensors.find(({ name }) => name === 'conv2d_4.weight')!.target, 'int3/channel');
  assert.ok(notes.some((note) => note.endsWith('; 2 of them as asked')));
  const graph = await graphAt('kws-dscnn-6.25bit.onnx');
  const bits = [...graph.weights.values()].reduce((sum, { byteLength }) => sum + 8 * byteLength, 0) / result.model.parameters;
  assert.ok(bits <= 6.25 && bits > 5.9, `${bits} bits per weight`);
  const plan = await planQuantize({ ...keywords, bits: '6.25', layer: 'conv2d_3=int8/channel' });
  assert.ok(Math.abs(plan.outputs[0].bitsPerWeight - 6.25) < 0.05);
  assert.equal(plan.outputs[0].tensors.find(({ name }) => name === 'conv2d_3.weight')!.target, 'int8/channel');
  await assert.rejects(quantize({ ...keywords, bits: '3.75', layer: 'conv*=int8/channel' }), /3\.75 bits per weight cannot be reached/);
});

test('a file of half floats holds single layers in few bits', async () => {
  const { outputs: [{ tensors, recipe }] } = await quantize({ ...keywords, weights: 'f16', layer: 'dense=int4/g32' });
  assert.equal(recipe, 'scale-search');
  assert.deepEqual(tensors.filter(({ target }) => target !== 'f16').map(({ name, target }) => `${name} ${target}`), ['dense.weight int4/g32']);
  assert.deepEqual(bitsOf(await graphAt('kws-dscnn-f16.onnx')), [4]);
});

test('recipes that choose formats themselves take none for a layer, by their reason', async () => {
  const refused = (request: Partial<QuantizeRequest>) => planQuantize({ ...withData, ...request }).then(() => assert.fail('planned'), (error: FewbitError) => error.message);
  assert.equal(await refused({ weights: 'int4/channel', recipe: 'q-palette', layer: 'dense=int8' }), 'recipe q-palette cannot give dense.weight int8/channel by itself: it chooses the formats of all layers itself');
  assert.match(await refused({ weights: 'int8/channel', recipe: 'hawqv3-int8', layer: 'dense=nf4/b64' }), /its layers multiply integers with one scale per row, such as int4\/channel$/);
  assert.equal((await planQuantize({ ...withData, weights: 'int4/channel', recipe: 'gptq', layer: 'dense=nf4/b64' })).outputs[0].recipe, 'gptq');
});

test('a run with other formats of layers is another run', async () => {
  const output = join(folder, 'again');
  const made = async (layer: string[], resume: boolean) => (await quantize({ ...keywords, output, weights: 'int4/channel', layer, resume, overwrite: !resume })).outputs[0];
  const first = await made(['dense=int8/channel'], false);
  assert.equal((await made(['den*.weight=int8'], true)).fingerprint, first.fingerprint, 'spelled otherwise it is the same run');
  const other = await made(['dense=int3/channel'], false);
  assert.notEqual(other.fingerprint, first.fingerprint);
  assert.notEqual(other.files[0].sha256, first.files[0].sha256);
});

test('GGUF files have a type per layer, embeddings included, and name the one of most', async () => {
  const { outputs: [output] } = await quantize({ ...llama, bits: '4', layer: 'blk.0.*=q6_k,token_embd.weight=q8_0,blk.1.ffn_down.weight=f16' });
  const source = await openFile(join(folder, 'host-llama-shakespeare-Q4_K.gguf'));
  const { tensors, metadata } = await openGguf(source);
  const typeOf = (name: string) => [...tensors.values()].find((tensor) => tensor.name === name)!.type;
  assert.deepEqual(['token_embd.weight', 'blk.0.attn_q.weight', 'blk.0.ffn_up.weight', 'blk.1.ffn_down.weight', 'blk.1.attn_q.weight', 'blk.0.attn_norm.weight'].map(typeOf), ['q8_0', 'q6_k', 'q6_k', 'f16', 'q4_k', 'f32']);
  assert.deepEqual(metadata.get('general.file_type'), { type: 'u32', value: 14 }, 'Q4_K');
  await source.close();
  assert.equal(output.tensors.filter(({ asked }) => asked).length, 9);
});

test('tables of language models take formats that rows can be looked up in', async () => {
  const planned = (layer: string) => planQuantize({ ...llama, to: 'onnx', bits: '8', layer });
  const table = async (layer: string) => (await planned(layer)).outputs[0].tensors.find(({ name }) => name === 'model.embed_tokens.weight')!.target;
  assert.equal(await table('*down_proj.weight=int4/g32'), 'int8/g128');
  assert.equal(await table('model.embed_tokens.weight=int4/g32'), 'int4/g32');
  assert.match((await planned('model.embed_tokens.weight=uint4/g32')).outputs[0].refusals[0], /^model\.embed_tokens\.weight: rows of a table are looked up in .*, not in uint4\/g32$/);
});
