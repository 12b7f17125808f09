/**
 * Embedding tables as integer codes: `com.microsoft.GatherBlockQuantized` reads rows of the same codes and scales that
 * `MatMulNBits` multiplies by, so that a table that is tied to the head lies in the file once. Codes stay in the shape of
 * MatMulNBits, [rows, blocks, bytes]; the lookup takes a block as its last axis and wants scales of as many axes.
 */
import { int } from '../graph/build.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { makeNode } from '../graph/rewrite.ts';
import type { NumberFormat } from '../formats/format.ts';
import { isScaled } from '../formats/scaled.ts';
import type { PackedMatrix } from './onnx-matmul-nbits.ts';
import { reshaped } from './onnx-unpack.ts';
import type { Emit } from './onnx-weight-only.ts';

/** Widths that the lookup has kernels for, on the CPU and in WebAssembly. */
const kernels = new Set([2, 4, 8]);

/** Whether the lookup and the product can share codes: zero points would lie differently in each, so there are none. */
export function takesGatherBlockQuantized(site: Linear, format: NumberFormat): boolean {
  if (site.kind !== 'Gather' || !isScaled(format) || format.integer === undefined || format.integer.asymmetric || !kernels.has(format.bits)) return false;
  const { granularity } = format;
  return granularity.kind === 'group' && granularity.size >= 16 && (granularity.size & (granularity.size - 1)) === 0 && site.cols % granularity.size === 0;
}

/** Products with a table turned by a Transpose, as a tied head has it: sites [rows, cols] of the table itself, by table. */
export function tiedHeads(graph: Graph): Map<string, Linear[]> {
  const tables = new Map(linearSites(graph, { gather: true }).filter(({ kind }) => kind === 'Gather').map((site) => [site.id, site]));
  const turned = new Map<string, Linear>();
  const heads = new Map<string, Linear[]>();
  for (const node of graph.nodes) {
    if (node.domain !== '') continue;
    const table = node.op === 'Transpose' ? tables.get(node.inputs[0]) : undefined;
    if (table !== undefined && swaps(node)) turned.set(node.outputs[0], table);
    const tied = node.op === 'MatMul' ? turned.get(node.inputs[1]) : undefined;
    if (tied === undefined) continue;
    const head: Linear = { ...tied, kind: 'MatMul', node, input: node.inputs[0], output: node.outputs[0], sharedInputGroup: node.inputs[0] };
    heads.set(tied.id, [...(heads.get(tied.id) ?? []), head]);
  }
  return heads;
}

const swaps = ({ attributes: { perm } }: Node): boolean => perm === undefined || (perm.kind === 'ints' && perm.value.join() === '1,0');

/** The lookup of a site in packed codes. */
export function gatherBlockQuantized(site: Linear, { codes, scales, bits, block, blocks }: PackedMatrix, emit: Emit): Node[] {
  const { rows, cols, node } = site;
  const perBlock = reshaped(scales, [rows, blocks, 1], emit);
  const found = emit.node('GatherBlockQuantized', [codes, site.input, perBlock], { bits: int(bits), block_size: int(block), gather_axis: int(0), quantize_axis: int(2) }, 'com.microsoft');
  // [indices…, blocks, block] to [indices…, cols]: the indices' shape is known when the graph runs.
  const indices = emit.node('Shape', [site.input]);
  const shape = emit.node('Concat', [indices, emit.constant('i64', [cols])], { axis: int(0) });
  return [makeNode('Reshape', [found, shape], [site.output], { name: node.name })];
}
