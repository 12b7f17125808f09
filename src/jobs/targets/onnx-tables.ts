/**
 * Embedding tables of language models in ONNX files. They take 8 bits whatever the other weights take, unless they were
 * given a format by themselves: on the Shakespeare Llama, whose table is tied to the head, 8 bits cost a KL of 0.00002 nats and 4 bits 0.003.
 */
import { takesGatherBlockQuantized, tiedHeads } from '../../export/onnx-embedding.ts';
import { exportWeightOnly } from '../../export/onnx-weight-only.ts';
import type { NumberFormat } from '../../formats/format.ts';
import { parseFormat } from '../../formats/registry.ts';
import type { Graph } from '../../graph/graph.ts';
import { linearSites, type Linear } from '../../graph/linear.ts';
import type { Applied } from '../../recipes/apply.ts';
import { quantizedLazily, type QuantizedMatrix } from '../../round/quantized-matrix.ts';
import { keepsFloat } from '../keep.ts';
import { ownFormat } from '../layer-formats.ts';
import type { Scheme } from '../schemes.ts';
import type { SourceModel } from '../source.ts';

/** Of scales; the largest block that ends where rows end. */
const blocks = [128, 64, 32, 16];

export interface Table { readonly site: Linear; readonly format: string; readonly tied: boolean; /** Why it is not the format that was given. */ readonly fallback?: string }

/** Tables that become low-bit, by weight id; patterns of `keep` name the table or a layer that reads it. */
export function lowBitTables({ kind, graph }: Pick<SourceModel, 'kind' | 'graph'>, scheme: Scheme, keep: readonly string[]): Map<string, Table> {
  const tables = new Map<string, Table>();
  if (kind !== 'lm') return tables;
  const heads = tiedHeads(graph);
  for (const site of linearSites(graph, { gather: true })) {
    const block = blocks.find((size) => site.cols % size === 0);
    if (site.kind !== 'Gather' || block === undefined) continue;
    const readers = [site, ...(heads.get(site.id) ?? [])];
    const own = ownFormat(scheme, site);
    if (own === undefined && parseFormat(scheme.weights).family === 'float') continue;
    const fallback = own === undefined ? undefined : refusesLookup(site, own);
    const format = own === undefined || fallback !== undefined ? parseFormat(`int8/g${block}`) : own;
    if (readers.some(({ id, node }) => keepsFloat(id, node.name, keep)) || !takesGatherBlockQuantized(site, format)) continue;
    tables.set(site.id, { site, format: format.name, tied: readers.length > 1, ...(fallback === undefined ? {} : { fallback }) });
  }
  return tables;
}

const refusesLookup = (site: Linear, format: NumberFormat): string | undefined =>
  (takesGatherBlockQuantized(site, format) ? undefined : `rows of a table are looked up in int2, int4 or int8 with a scale per group of 16, 32, 64 or more, such as int4/g32, not in ${format.name}`);

/** Tables rounded to nearest, by weight id. */
export const roundedTables = (tables: ReadonlyMap<string, Table>): Map<string, QuantizedMatrix> =>
  new Map([...tables].map(([id, { site, format }]) => [id, quantizedLazily(site, parseFormat(format), { name: id, search: 'amax' })]));

/** The graph with its tables in codes; other weights stay as they are. */
export async function withLowBitTables(graph: Graph, weights: Applied['weights']): Promise<Graph> {
  return weights.size === 0 ? graph : (await exportWeightOnly(graph, weights)).graph;
}

/** What is said of each table. */
export const tableNotes = (tables: ReadonlyMap<string, Table>): string[] => [...tables].map(([id, { format, tied }]) =>
  `${id}: ${format}${tied ? ', one copy for the embedding and the head' : ''}; read by com.microsoft.GatherBlockQuantized, which ONNX Runtime has for 8 bits since 1.23`);
