/**
 * Weights as 8-bit integers, activations rounded to 8 bits as they come: DynamicQuantizeLinear, an integer product, and
 * one multiplication by both scales. No sample inputs are needed. The form is the one that ONNX Runtime fuses
 * (MatMulIntegerToFloat, DynamicQuantizeMatMul).
 */
import type { TensorRef } from '../tensor-ref.ts';
import { int } from '../graph/build.ts';
import type { Attribute, Graph, Node } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { freshNames, makeNode, removeDeadNodes, type Fresh } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { upgradeOpset } from '../graph/upgrade.ts';
import { lazyTensor, numberTensor } from '../graph/values.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import { integerRefusal, integerWeight, isAsymmetric, saturationNote } from './onnx-int8.ts';
import { note, type ExportNote } from './onnx-note.ts';
import { tileCache } from './onnx-tiles.ts';

/** float32 in the numbering of ONNX types. */
const f32 = 1;

export async function exportDynamicInt8(source: Graph, weights: ReadonlyMap<string, QuantizedMatrix>): Promise<{ graph: Graph; notes: readonly ExportNote[] }> {
  // DynamicQuantizeLinear came with operator set 11, and the shapes of today's Unsqueeze with 13.
  const graph = (source.opset.get('') ?? 1) < 13 ? await upgradeOpset(source) : source;
  const writer = new DynamicWriter(graph);
  const sites = new Map(linearSites(graph).map((site) => [site.node, site]));
  const notes: ExportNote[] = [];
  const nodes = graph.nodes.flatMap((node): readonly Node[] => {
    const site = sites.get(node);
    const matrix = site === undefined ? undefined : weights.get(site.id);
    if (site === undefined || matrix === undefined) return [node];
    const refusal = integerRefusal(site, matrix) ?? dynamicRefusal(site, matrix);
    if (refusal === undefined) return writer.site(site, matrix);
    notes.push(note('float', site.id, `stays float, ${refusal}`));
    return [node];
  });
  // Convolutions have unsigned weights, whose products no processor saturates.
  if (nodes.some(({ op, inputs }) => op === 'MatMulInteger' && writer.weights.get(inputs[1])?.type === 'i8')) notes.push(saturationNote(graph));
  const next: Graph = { ...graph, nodes, weights: new Map([...graph.weights, ...writer.weights]) };
  return { graph: removeDeadNodes({ ...next, nodes: sortNodes(next) }), notes };
}

/** What integer products of ONNX cannot express, or do more slowly than float ones. */
function dynamicRefusal(site: Linear, matrix: QuantizedMatrix): string | undefined {
  const { kind, node, groups, bias } = site;
  if (kind === 'ConvTranspose') return 'ConvTranspose has no integer form';
  if (kind === 'Conv' && groups > 1) return 'grouped integer convolutions are slower than float ones';
  if (kind === 'Conv' && (node.inputs[2] ?? '') !== '' && bias === undefined) return 'its bias is computed';
  if (kind === 'Conv' && isAsymmetric(matrix)) return 'ConvInteger takes one zero point for all channels';
  if (kind === 'Gemm' && ['alpha', 'beta'].some((name) => { const found = node.attributes[name]; return found?.kind === 'float' && found.value !== 1; })) return 'its alpha or beta is not 1';
  return undefined;
}

class DynamicWriter {
  readonly weights = new Map<string, TensorRef>();
  readonly #graph: Graph;
  readonly #fresh: Fresh;
  readonly #cache = tileCache();
  /** Codes, scale and zero point of each activation that was quantized; sites that read it share them. */
  readonly #inputs = new Map<string, readonly [codes: string, scale: string, zero: string]>();
  readonly #matrices = new Map<string, { codes: string; zero: string | undefined; scale: string }>();

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#fresh = freshNames(graph);
  }

  site(site: Linear, matrix: QuantizedMatrix): Node[] {
    const nodes: Node[] = [];
    const { node, output } = site;
    const make = (op: string, inputs: readonly string[], to = this.#fresh(`${output}_${op.toLowerCase()}`), attributes: Readonly<Record<string, Attribute>> = {}): string => {
      nodes.push(makeNode(op, inputs, [to], { name: this.#fresh(`${node.name === '' ? output : node.name}_${op}`), attributes }));
      return to;
    };
    const [codes, scale, zero] = this.#input(site.input, nodes);
    const weight = this.#weight(site, matrix);
    const op = site.kind === 'Conv' ? 'ConvInteger' : 'MatMulInteger';
    const product = make(op, [codes, weight.codes, zero, ...(weight.zero === undefined ? [] : [weight.zero])], undefined, site.kind === 'Conv' ? node.attributes : {});
    const bias = site.kind === 'MatMul' ? '' : node.inputs[2] ?? '';
    const scales = make('Mul', [scale, weight.scale]);
    const scaled = make('Mul', [make('Cast', [product], undefined, { to: int(f32) }), scales], bias === '' ? output : undefined);
    if (bias !== '') make('Add', [scaled, this.#bias(site, bias)], output);
    return nodes;
  }

  #input(value: string, nodes: Node[]): readonly [string, string, string] {
    const known = this.#inputs.get(value);
    if (known !== undefined) return known;
    const names = [this.#fresh(`${value}_quantized`), this.#fresh(`${value}_scale`), this.#fresh(`${value}_zero_point`)] as const;
    nodes.push(makeNode('DynamicQuantizeLinear', [value], names, { name: this.#fresh(`${value}_quantize`) }));
    this.#inputs.set(value, names);
    return names;
  }

  /** Codes, zero point and scales as the product wants them; tied weights are written once. */
  #weight(site: Linear, matrix: QuantizedMatrix): { codes: string; zero: string | undefined; scale: string } {
    const known = this.#matrices.get(site.id);
    if (known !== undefined) return known;
    const isConv = site.kind === 'Conv';
    // ConvInteger has a fast kernel for unsigned weights alone; products are twice as fast with signed ones where the CPU has VNNI.
    const { codes, scales, zeros } = integerWeight(site, matrix, { fresh: this.#fresh, cache: this.#cache, layout: isConv ? 'stored' : 'in-out', unsigned: isConv });
    // One scale per channel, spread over the positions of a convolution.
    const scale = isConv ? lazyTensor(scales.name, 'f32', [1, site.rows, ...site.kernel.map(() => 1)], () => scales.read()) : scales;
    const zero = isConv ? numberTensor(zeros.name, 'u8', [], [128]) : isAsymmetric(matrix) ? zeros : undefined;
    for (const tensor of [codes, scale, zero]) if (tensor !== undefined) this.weights.set(tensor.name, tensor);
    const made = { codes: codes.name, zero: zero?.name, scale: scale.name };
    this.#matrices.set(site.id, made);
    return made;
  }

  /** The bias of a Conv lies along axis 1; that of a Gemm is added as it is. */
  #bias(site: Linear, bias: string): string {
    if (site.kind !== 'Conv') return bias;
    const name = this.#fresh(`${bias}_channels`);
    const tensor = this.#graph.weights.get(bias)!;
    this.weights.set(name, lazyTensor(name, tensor.type, [1, site.rows, ...site.kernel.map(() => 1)], () => tensor.read()));
    return name;
  }
}
