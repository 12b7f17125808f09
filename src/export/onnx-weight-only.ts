/**
 * Low-bit weights beside float activations: `MatMulNBits` where the runtime has a kernel for it, `GatherBlockQuantized`
 * for embeddings, which share their codes with a tied head, integers that are scaled before the float operator where the
 * standard has the type, and a table lookup of densely packed codes for the rest.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { freshNames, makeNode, removeDeadNodes, type Fresh } from '../graph/rewrite.ts';
import { numberTensor } from '../graph/values.ts';
import { producers } from '../graph/traverse.ts';
import { upgradeOpset } from '../graph/upgrade.ts';
import { isScaled, type ScaledFormat } from '../formats/scaled.ts';
import { elementTypes, type TensorRef } from '../tensor-ref.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import { liesOnGrid } from './fixed-input.ts';
import { dequantized, dequantizeType, unpacksOnLoad } from './onnx-dequantize.ts';
import { gatherBlockQuantized, takesGatherBlockQuantized, tiedHeads } from './onnx-embedding.ts';
import { matMulNBits, packMatrix, takesMatMulNBits, type PackedMatrix } from './onnx-matmul-nbits.ts';
import { note, type ExportNote } from './onnx-note.ts';
import { tableLookup } from './onnx-table.ts';
import { tileCache, tilesOf, type Tiles } from './onnx-tiles.ts';

/** What a form of a weight adds to the graph. */
export interface Emit {
  readonly fresh: Fresh;
  node(op: string, inputs: readonly string[], attributes?: Node['attributes'], domain?: string): string;
  weight(tensor: TensorRef): string;
  /** A vector of integers; equal ones are one. */
  constant(type: 'i32' | 'i64', values: readonly number[]): string;
}

export interface WeightOnlyResult { readonly graph: Graph; readonly notes: readonly ExportNote[] }

export interface WeightOnlyOptions {
  /** Arithmetic of `MatMulNBits`: 4 (default) rounds activations to 8 bits on the way and is the fastest, 0 keeps them float, as those on fixed grids are. */
  readonly accuracyLevel?: 0 | 4;
}

export async function exportWeightOnly(graph: Graph, weights: ReadonlyMap<string, QuantizedMatrix>, options: WeightOnlyOptions = {}): Promise<WeightOnlyResult> {
  const notes: ExportNote[] = [];
  const cache = tileCache();
  const tiled = new Map<string, Tiles>();
  // Two-bit element types came with operator set 25; nothing else asks for it.
  const twoBit = sitesOf(graph, weights).some((site) => formOf(site, weights.get(site.id)!) === 'integers' && elementTypes[dequantizeType(weights.get(site.id)!.format as ScaledFormat)!].bits === 2);
  const base = twoBit && (graph.opset.get('') ?? 21) < 25 ? await upgradeOpset(graph, 25) : graph;
  const fresh = freshNames(base);
  const makers = producers(base);
  const made = new Map(base.weights);
  const replacements = new Map<string, Node[]>();
  const floats = new Map<string, { value: string; nodes: Node[] }>();
  const packed = new Map<string, PackedMatrix>();
  const unpacked = new Map<string, number>();
  const repeated = new Map<string, number>();
  const constants = new Map<string, string>();
  let contrib = false;
  for (const site of sitesOf(base, weights)) {
    const matrix = weights.get(site.id)!;
    const form = formOf(site, matrix);
    if (form === 'float') {
      notes.push(note('float', site.id, `a table in ${matrix.format.name} has no lookup in ONNX Runtime and stays float`));
      continue;
    }
    const tiles = tiled.get(site.id) ?? tilesOf(matrix, cache);
    tiled.set(site.id, tiles);
    const nodes: Node[] = [];
    const emit: Emit = {
      fresh,
      node: (op, inputs, attributes = {}, domain = '') => {
        // Dozens of nodes unpack a table: long names would be a tenth of a file of a small model.
        const output = fresh(form === 'table' ? 'u' : `${site.id}_${op}`);
        nodes.push(makeNode(op, inputs, [output], { name: output, attributes, domain }));
        return output;
      },
      weight: (tensor) => { made.set(tensor.name, tensor); return tensor.name; },
      constant: (type, values) => {
        const key = `${type} ${values.join()}`;
        const name = constants.get(key) ?? fresh('c');
        if (!constants.has(key)) made.set(name, numberTensor(name, type, [values.length], values));
        constants.set(key, name);
        return name;
      },
    };
    if (form === 'MatMulNBits' || form === 'GatherBlockQuantized') {
      contrib = true;
      const shared = packed.get(site.id) ?? packMatrix(site, tiles, emit);
      packed.set(site.id, shared);
      const made = form === 'MatMulNBits' ? matMulNBits(site, shared, emit, options.accuracyLevel ?? (liesOnGrid(site.input, makers) ? 0 : 4)) : gatherBlockQuantized(site, shared, emit);
      replacements.set(site.output, [...nodes, ...made]);
      continue;
    }
    let float = floats.get(site.id);
    if (float === undefined) {
      const value = form === 'integers' ? dequantized(site, tiles, emit) : tableLookup(site, tiles, emit);
      float = { value, nodes };
      floats.set(site.id, float);
      const what = form === 'table' || unpacksOnLoad(site, matrix.format as ScaledFormat) ? unpacked : repeated;
      what.set(matrix.format.name, (what.get(matrix.format.name) ?? 0) + 1);
    } else nodes.length = 0;
    const { value } = float;
    replacements.set(site.output, [...nodes, { ...site.node, inputs: site.node.inputs.map((input) => (input === site.id ? value : input)) }]);
  }
  const weightsOf = (count: number): string => (count === 1 ? 'a weight is' : `${count} weights are`);
  for (const [format, count] of unpacked) notes.push(note('form', format, `${weightsOf(count)} unpacked to float when the model is loaded: the file is smaller, memory and speed are those of float`));
  for (const [format, count] of repeated) notes.push(note('slow', format, `${weightsOf(count)} unpacked to float at each call: the file and memory are smaller, the product is slower than a float one`));
  const opset = new Map(base.opset);
  if (contrib) opset.set('com.microsoft', 1);
  const nodes = base.nodes.flatMap((node) => replacements.get(node.outputs[0]) ?? [node]);
  return { graph: removeDeadNodes({ ...base, nodes, weights: made, opset }), notes };
}

type Form = 'MatMulNBits' | 'GatherBlockQuantized' | 'integers' | 'table' | 'float';

function formOf(site: Linear, matrix: QuantizedMatrix): Form {
  if (site.kind === 'Gather') return takesGatherBlockQuantized(site, matrix.format) ? 'GatherBlockQuantized' : 'float';
  if (takesMatMulNBits(site, matrix.format)) return 'MatMulNBits';
  return isScaled(matrix.format) && dequantizeType(matrix.format) !== undefined ? 'integers' : 'table';
}

/** Linear sites, embeddings, and the heads tied to those that are looked up in codes. */
function sitesOf(graph: Graph, weights: ReadonlyMap<string, QuantizedMatrix>): Linear[] {
  const sites = linearSites(graph, { gather: true }).filter((site) => weights.has(site.id));
  const shared = new Set(sites.filter((site) => formOf(site, weights.get(site.id)!) === 'GatherBlockQuantized').map(({ id }) => id));
  return [...sites, ...[...tiedHeads(graph)].flatMap(([id, heads]) => (shared.has(id) ? heads : []))];
}
