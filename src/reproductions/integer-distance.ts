/** How far a graph of fake quantization lies from the integer graph that an engine runs, in codes, layer by layer. */
import type { Engine, Feeds } from '../engine/session.ts';
import { activationGrid } from '../export/onnx-int8.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { rne } from '../numeric/rounding.ts';
import { openGraph } from '../observe/taps.ts';

export interface CodeDistance {
  /** Largest difference of a code. */
  readonly largest: number;
  /** Share of the codes that differ. */
  readonly share: number;
  readonly codes: number;
}

/**
 * Every activation that is quantized, from both graphs: `decoded` has rounded weights in float, `integer` was exported with
 * the same weights and ranges. Each layer of `decoded` reads what the integer graph read, so that differences do not add up.
 */
export async function codeDistance(
  decoded: Graph, integer: Graph, ranges: ReadonlyMap<string, { readonly low: number; readonly high: number }>, engine: Engine, feeds: Feeds,
): Promise<CodeDistance> {
  const inputs = new Set(decoded.inputs.map(({ name }) => name));
  const values = [...ranges.keys()];
  const codesOf = (value: string): string => `${value}_quantized`;
  const integers = await openGraph(await withOutputs(integer, values.map(codesOf)), engine);
  const codes = await integers.run(feeds, values.map(codesOf));
  await integers.dispose();

  const inner = values.filter((value) => !inputs.has(value));
  const given = (value: string): string => `${value}/given`;
  const forced: Graph = {
    ...decoded,
    nodes: decoded.nodes.map((node) => ({ ...node, inputs: node.inputs.map((name) => (ranges.has(name) ? given(name) : name)) })),
    inputs: values.map((value) => ({ name: given(value), type: 'f32', shape: undefined })),
  };
  const session = await openGraph({ ...await withOutputs(forced, inner), values: new Map() }, engine);
  const grids = new Map(values.map((value) => [value, activationGrid(ranges.get(value)!, 'u8')]));
  try {
    const floats = await session.run(Object.fromEntries(values.map((value) => {
      const { scale, zero } = grids.get(value)!;
      const { shape, data } = codes[codesOf(value)];
      return [given(value), { type: 'f32', shape, data: Float32Array.from(data as Uint8Array, (code) => (code - zero) * scale) }];
    })), inner);
    let [largest, differing, count] = [0, 0, 0];
    for (const value of inner) {
      const { scale, zero } = grids.get(value)!;
      const found = codes[codesOf(value)].data as Uint8Array;
      (floats[value].data as Float32Array).forEach((x, i) => {
        const distance = Math.abs(Math.min(255, Math.max(0, rne(x / scale) + zero)) - found[i]);
        largest = Math.max(largest, distance);
        if (distance > 0) differing++;
        count++;
      });
    }
    return { largest, share: differing / count, codes: count };
  } finally {
    await session.dispose();
  }
}
