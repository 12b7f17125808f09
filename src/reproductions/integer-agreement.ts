/** Whether an engine computes, in every layer, the integers of the plain executor. */
import { executeIntegers } from '../engine/integer/execute.ts';
import type { IntegerNetwork } from '../engine/integer/network.ts';
import type { Engine, Session } from '../engine/session.ts';
import type { TensorData } from '../engine/tensor.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import type { Dataset } from '../observe/data/index.ts';
import { openGraph } from '../observe/taps.ts';

export interface IntegerAgreement {
  readonly images: number;
  /** Integers compared per form. */
  readonly integers: number;
  /** By form: integers that differ. */
  readonly differing: Readonly<Record<string, number>>;
}

/** Images run at a time: every integer of a network is held for each. */
const chunk = 20;

/** Every integer of the network for every image, from the executor and from each written form. */
export async function integerAgreement(network: IntegerNetwork, forms: Readonly<Record<string, Graph>>, data: Dataset, engine: Engine, threads: number, say?: (images: number) => void): Promise<IntegerAgreement> {
  const names = [...network.values.keys()];
  const sessions: [string, Session][] = [];
  for (const [form, graph] of Object.entries(forms)) sessions.push([form, await openGraph(await withOutputs(graph, names), engine, { threads })]);
  const differing = Object.fromEntries(Object.keys(forms).map((form) => [form, 0]));
  let integers = 0;
  try {
    for (let begin = 0; begin < data.count; begin += chunk) {
      const { feeds } = await data.batch(Array.from({ length: Math.min(chunk, data.count - begin) }, (_, i) => begin + i));
      const ours = await executeIntegers(network, feeds);
      for (const { data: own } of ours.values()) integers += own.length;
      for (const [form, session] of sessions) {
        const theirs = await session.run(feeds, names);
        for (const name of names) differing[form] += differences(ours.get(name)!.data, theirs[name].data);
      }
      say?.(Math.min(begin + chunk, data.count));
    }
  } finally {
    for (const [, session] of sessions) await session.dispose();
  }
  return { images: data.count, integers, differing };
}

/** Places where two lists of integers differ; lists of different lengths differ everywhere. */
export function differences(ours: Int32Array, theirs: TensorData): number {
  if (ours.length !== theirs.length) return Math.max(ours.length, theirs.length);
  let count = 0;
  if (theirs instanceof BigInt64Array) {
    // Two halves each, low one first, instead of a big integer per value.
    const halves = new Int32Array(theirs.buffer, theirs.byteOffset, 2 * theirs.length);
    for (let i = 0; i < ours.length; i++) if (ours[i] !== halves[2 * i] || halves[2 * i + 1] !== ours[i] >> 31) count++;
    return count;
  }
  for (let i = 0; i < ours.length; i++) if (ours[i] !== theirs[i]) count++;
  return count;
}
