/**
 * Rows of what layers read: a sample spread over all batches, beside the largest magnitude and the smallest value of each
 * channel over everything seen. What searches by output error work on where activations themselves are rounded.
 */
import type { Engine, Feeds } from '../engine/session.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import { int } from '../graph/build.ts';
import type { Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { withOutputs } from '../graph/outputs.ts';
import { freshNames } from '../graph/rewrite.ts';
import { noBatches, openGraph, type Batches } from './taps.ts';

export interface InputRows {
  /** Row-major [count, cols]. */
  readonly values: Float32Array;
  readonly count: number;
  readonly cols: number;
  /** Largest |x| of each channel over all rows seen, not the sample alone. */
  readonly maxAbsolute: Float32Array;
}

/** By input value of MatMul and Gemm sites; at most `count` rows each (default 256). */
export async function observeInputRows(graph: Graph, engine: Engine, batches: Batches, sites: readonly Linear[], count = 256): Promise<Map<string, InputRows>> {
  const tape = new GraphTape(freshNames(graph));
  const probes = new Map<string, { cols: number; rows: string; max: string; sample: Sample }>();
  for (const { input, cols } of sites) {
    if (probes.has(input)) continue;
    const x = tape.op('Reshape', [tape.op('Cast', [input], { to: int(1) }), tape.ints([-1, cols])]);
    const seen = tape.op('Shape', [x], { start: int(0), end: int(1) });
    const stride = tape.op('Div', [tape.op('Add', [seen, tape.ints([count - 1])]), tape.ints([count])]);
    const rows = tape.op('Slice', [x, tape.ints([0]), seen, tape.ints([0]), stride]);
    probes.set(input, { cols, rows, max: tape.op('ReduceMax', [tape.op('Abs', [x]), tape.ints([0])], { keepdims: int(0) }), sample: new Sample(count, cols) });
  }
  const names = [...probes.values()].flatMap(({ rows, max }) => [rows, max]);
  const probed: Graph = { ...graph, nodes: [...graph.nodes, ...tape.take()], weights: new Map([...graph.weights, ...tape.weights]) };
  const session = await openGraph(await withOutputs(probed, names), engine);
  let seen = 0;
  try {
    for await (const feeds of batches as AsyncIterable<Feeds>) {
      const results = await session.run(feeds, names);
      for (const { rows, max, sample } of probes.values()) sample.add(results[rows].data as Float32Array, results[max].data as Float32Array);
      seen++;
    }
  } finally {
    await session.dispose();
  }
  if (seen === 0) throw noBatches({});
  return new Map([...probes].map(([input, { sample }]) => [input, sample.taken()]));
}

/** At most twice the rows wanted are held; each time they fill up, every other one is kept and half as many are taken from then on. */
class Sample {
  readonly count: number;
  readonly cols: number;
  readonly #max: Float32Array;
  #rows: Float32Array[] = [];
  #every = 1;
  #passed = 0;

  constructor(count: number, cols: number) {
    this.count = count;
    this.cols = cols;
    this.#max = new Float32Array(cols);
  }

  add(values: Float32Array, max: Float32Array): void {
    for (let j = 0; j < this.cols; j++) this.#max[j] = Math.max(this.#max[j], max[j]);
    for (let start = 0; start < values.length; start += this.cols) {
      if (this.#passed++ % this.#every !== 0) continue;
      this.#rows.push(values.slice(start, start + this.cols));
      if (this.#rows.length < 2 * this.count) continue;
      this.#rows = this.#rows.filter((_, i) => i % 2 === 0);
      this.#every *= 2;
    }
  }

  taken(): InputRows {
    const stride = Math.max(1, this.#rows.length / this.count);
    const count = Math.min(this.count, this.#rows.length);
    const values = new Float32Array(count * this.cols);
    for (let i = 0; i < count; i++) values.set(this.#rows[Math.floor(i * stride)], i * this.cols);
    return { values, count, cols: this.cols, maxAbsolute: this.#max };
  }
}
