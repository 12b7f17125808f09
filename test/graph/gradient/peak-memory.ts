/** Run as a process of its own: how far the peak memory rises over one run of a deep network's gradient, in MB, and what the gradients hash to. */
import { createHash } from 'node:crypto';
import { ortNode } from '../../../src/engine/ort-node.ts';
import { f32, type Tensor } from '../../../src/engine/tensor.ts';
import { onnxBytes } from '../../../src/files/onnx.ts';
import { GraphBuilder, int } from '../../../src/graph/build.ts';
import { gradient } from '../../../src/graph/gradient/gradient.ts';
import { Random } from './random.ts';

const [mode, optimize] = process.argv.slice(2);
const [rows, width, layers] = [2048, 256, 24];
const g = new GraphBuilder('deep', 21);
const weights = Array.from({ length: layers }, (_, i) => `w${i}`);
const kept: string[] = [];
let hidden = g.input('x', 'f32', [rows, width]);
for (const [i, w] of weights.entries()) {
  const product = g.op('MatMul', [hidden, g.input(w, 'f32', [width, width])]);
  hidden = g.op('Add', [hidden, g.op('Tanh', [g.op('Mul', [g.op('Sigmoid', [product]), product])])]);
  if (i % 5 === 4) kept.push(hidden);
}
g.output(g.op('ReduceMean', [g.op('Mul', [hidden, hidden])], { keepdims: int(0) }), 'loss');
const made = await gradient(g.graph(), 'loss', weights, mode === 'recompute' ? { recompute: kept } : {});
const names = [...made.gradients.values()];
const session = await ortNode.open({ bytes: await onnxBytes({ ...made.graph, outputs: names.map((name) => ({ name, type: 'f32', shape: undefined })) }) }, { optimize: optimize as 'all' | 'none' });
const random = new Random(1);
const feeds: Record<string, Tensor> = { x: f32([rows, width], random.floats(rows * width)) };
for (const w of weights) feeds[w] = f32([width, width], random.floats(width * width, 0.1));
const before = process.resourceUsage().maxRSS;
const found = await session.run(feeds);
const rise = (process.resourceUsage().maxRSS - before) / 1024;
const hash = createHash('sha256');
for (const name of names) hash.update(Buffer.from(found[name].data.buffer, found[name].data.byteOffset, found[name].data.byteLength));
console.log(JSON.stringify({ rise, hash: hash.digest('hex') }));
