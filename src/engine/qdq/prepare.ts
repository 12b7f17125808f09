/** What operators call, for inputs of the shapes at hand. */
import { broadcastShape, expanded, sizeOf } from '../interpreter/value.ts';
import { averageFactors, averageSite, largestSite, planeShape } from './geometry.ts';
import { lies } from './memory.ts';
import type { QdqOp } from './network.ts';
import { concatenate, move, prepareOther } from './other.ts';
import { otherOf } from './functions.ts';
import { quantized, realValue } from './plain.ts';
import { prepareProducts, reorder } from './products.ts';
import { tableOf } from './grid.ts';
import { stale, type Bench } from './bench.ts';

/** Gives the names of what it made. */
export async function prepare(one: QdqOp, bench: Bench): Promise<readonly string[]> {
  const { kernels, onRun } = bench;
  switch (one.op) {
    case 'quantize': {
      const x = bench.stored(one.input);
      const out = bench.make(one.output, 'codes', x.shape);
      onRun(() => kernels.quantize(x.block.at, sizeOf(x.shape), one.grid.scale, one.grid.zero, out.block.at));
      return [one.output];
    }
    case 'dequantize': {
      const x = bench.stored(one.input.name);
      const out = bench.make(one.output, 'floats', x.shape);
      onRun(() => kernels.dequantize(x.block.at, sizeOf(x.shape), one.input.grid.scale, one.input.grid.zero, out.block.at));
      return [one.output];
    }
    case 'products': case 'floatProducts':
      prepareProducts(one, bench);
      return [one.output];
    case 'join': return join(one, bench);
    case 'largest': {
      const x = bench.stored(one.input);
      const { windows: { kernel, strides, dilations, begin, out: [outY, outX] }, shape } = largestSite(one.node, x.shape);
      const [images, channels, height, width] = planeShape(x.shape);
      const out = bench.make(one.output, 'codes', shape);
      for (let i = 0; i < images; i++) {
        onRun(() => kernels.largest(x.block.at + i * channels * height * width, channels, height, width, kernel[0], kernel[1], strides[0], strides[1], dilations[0], dilations[1], begin[0], begin[1], outY, outX, out.block.at + i * channels * outY * outX));
      }
      return [one.output];
    }
    case 'average': return average(one, bench);
    case 'concat': {
      const tables = one.inputs.map(({ grid }) => tableOf(grid, one.into, (x) => x));
      const laid = tables.map((table) => (table.every((code, at) => code === at) ? undefined : bench.keep(table)));
      concatenate(one.node, one.inputs.map(({ name }) => bench.stored(name)), one.output, bench, (from, rows, width, to, stride, i) => {
        const table = laid[i];
        if (table === undefined) kernels.scatter(from, rows, width, to, stride);
        else kernels.translate(from, rows, width, table, to, stride);
      });
      return [one.output];
    }
    case 'move': return move(one.node, one.inputs, one.outputs, one.fill, bench);
    case 'table': {
      const x = bench.stored(one.input);
      const out = bench.make(one.output, 'codes', x.shape);
      const table = bench.keep(one.table);
      onRun(() => kernels.translate(x.block.at, 1, sizeOf(x.shape), table, out.block.at, 0));
      return [one.output];
    }
    case 'other': return prepareOther(one.node, bench);
  }
}

/** Codes of either side, repeated where it is smaller. */
function join({ node, inputs, output, into }: Extract<QdqOp, { op: 'join' }>, bench: Bench): readonly string[] {
  const sides = inputs.map(({ name }) => bench.stored(name));
  const shape = broadcastShape(sides.map((side) => side.shape));
  const [a, b] = sides.map(({ shape: own, block: { at } }) => {
    if (own.length === shape.length && own.every((dim, i) => dim === shape[i])) return at;
    const from = expanded({ type: 'f32', shape: own, data: Float64Array.from({ length: sizeOf(own) }, (_, i) => i) }, shape).data;
    const [before, behind] = [lies(own), lies(shape)];
    const map = new Int32Array(from.length);
    from.forEach((place, i) => { map[behind(i)] = before(place); });
    const repeated = bench.scratch(map.length);
    reorder(bench, at, map, 1, repeated);
    return repeated;
  });
  const out = bench.make(output, 'codes', shape);
  const [x, y] = inputs.map(({ grid }) => grid);
  const times = node.op === 'Mul' ? 1 : 0;
  bench.onRun(() => bench.kernels.join(a, b, sizeOf(shape), times, x.scale, x.zero, y.scale, y.zero, into.grid.scale, into.grid.zero, into.low, into.high, out.block.at));
  return [output];
}

async function average({ node, input, output, into }: Extract<QdqOp, { op: 'average' }>, bench: Bench): Promise<readonly string[]> {
  const x = bench.stored(input.name);
  const axes = node.inputs[1] === undefined ? undefined : bench.reading(node.inputs[1])();
  const site = averageSite(node, x.shape, axes === undefined ? undefined : [...axes.data]);
  if (site === undefined) {
    const codes = bench.reading(input.name);
    const compute = async (): Promise<{ shape: readonly number[]; codes: Uint8Array }> => {
      const read = codes();
      return quantized((await otherOf(node, [realValue({ shape: read.shape, codes: Uint8Array.from(read.data) }, input), axes]))[0], into);
    };
    const out = bench.make(output, 'codes', (await compute()).shape);
    bench.onRun(async () => {
      const found = await compute();
      if (sizeOf(found.shape) !== sizeOf(out.shape)) throw stale;
      const place = lies(out.shape);
      const bytes = bench.arena.bytesAt(out.block.at, found.codes.length);
      found.codes.forEach((code, i) => { bytes[place(i)] = code; });
    });
    return [output];
  }
  const { windows: { kernel, strides, begin, out: [outY, outX] }, padding, shape } = site;
  const [images, channels, height, width] = planeShape(x.shape);
  const out = bench.make(output, 'codes', shape);
  const factors = bench.keep(new Uint8Array(averageFactors(sizeOf(kernel), input.grid.scale, into.grid.scale).buffer));
  for (let i = 0; i < images; i++) {
    bench.onRun(() => bench.kernels.average(
      x.block.at + i * channels * height * width, channels, height, width, kernel[0], kernel[1], strides[0], strides[1], begin[0], begin[1], outY, outX,
      Number(padding), input.grid.zero, factors, into.grid.zero, into.low, into.high, out.block.at + i * channels * outY * outX,
    ));
  }
  return [output];
}
