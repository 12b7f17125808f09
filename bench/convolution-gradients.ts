/**
 * Milliseconds of convolutions at batch 64, forward and both gradients, on ONNX Runtime: best of interleaved runs, so that a
 * busy machine slows all alike: node --import tsx bench/convolution-gradients.ts [seconds per row] [threads]
 */
import { ortNode } from '../src/engine/ort-node.ts';
import type { Session } from '../src/engine/session.ts';
import { f32 } from '../src/engine/tensor.ts';
import { onnxBytes } from '../src/files/onnx.ts';
import { GraphBuilder, int, ints } from '../src/graph/build.ts';
import { gradient } from '../src/graph/gradient/gradient.ts';
import { removeDeadNodes } from '../src/graph/rewrite.ts';
import { uniform } from '../src/numeric/random.ts';

interface Layer { readonly from: number; readonly to: number; readonly size: number; readonly kernel?: number; readonly stride?: number; readonly group?: number }

const layers: readonly Layer[] = [
  { from: 3, to: 16, size: 32 }, { from: 16, to: 16, size: 32 }, { from: 32, to: 32, size: 16 }, { from: 64, to: 64, size: 8 },
  { from: 16, to: 32, size: 32, stride: 2 }, { from: 32, to: 64, size: 16, stride: 2 }, { from: 16, to: 32, size: 32, kernel: 1, stride: 2 },
  { from: 64, to: 64, size: 16, kernel: 1 }, { from: 64, to: 64, size: 16, group: 64 },
];
const batch = 64;
const [seconds, threads] = [Number(process.argv[2] ?? 2), Number(process.argv[3] ?? 1)];
const random = (shape: readonly number[]) => f32(shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => uniform(1, 0, i) - 0.5));

console.log(`batch ${batch}, ${threads} thread${threads === 1 ? '' : 's'}; ms forward / to the input / to the kernel, GFLOP/s of all three`);
for (const { from, to, size, kernel = 3, stride = 1, group = 1 } of layers) {
  const [x, w] = [[batch, from, size, size], [to, from / group, kernel, kernel]];
  const out = Math.ceil(size / stride);
  const g = new GraphBuilder('layer', 21);
  g.input('x', 'f32', x);
  g.input('w', 'f32', w);
  g.input('dy', 'f32', [batch, to, out, out]);
  const pad = (kernel - 1) / 2;
  g.output(g.op('Conv', ['x', 'w'], { pads: ints([pad, pad, pad, pad]), strides: ints([stride, stride]), group: int(group) }), 'y', 'f32', [batch, to, out, out]);
  const made = await gradient(g.graph(), 'y', ['x', 'w'], { seed: 'dy' });
  const feeds = { x: random(x), w: random(w), dy: random([batch, to, out, out]) };
  const runs: { readonly session: Session; readonly times: number[] }[] = [];
  for (const name of ['y', made.gradients.get('x')!, made.gradients.get('w')!]) {
    const needed = removeDeadNodes({ ...made.graph, outputs: [{ name, type: 'f32', shape: undefined }] });
    const bytes = await onnxBytes(needed);
    runs.push({ session: await ortNode.open({ bytes }, { threads }), times: [] });
  }
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end) {
    for (const { session, times } of runs) {
      const start = performance.now();
      await session.run(feeds);
      times.push(performance.now() - start);
    }
  }
  const best = runs.map(({ times }) => Math.min(...times));
  const work = (2 * batch * to * (from / group) * kernel ** 2 * out ** 2) / 1e6;
  console.log(`${from} → ${to}, ${kernel}×${kernel}${stride > 1 ? ` stride ${stride}` : ''}${group > 1 ? ' depthwise' : ''} at ${size}²: ${best.map((ms) => ms.toFixed(2)).join(' / ')} ms, ${((3 * work) / best.reduce((a, b) => a + b)).toFixed(0)} GFLOP/s`);
  for (const { session } of runs) await session.dispose();
}
