/**
 * Weights and activations as 8-bit integers with fixed scales, in the QuantizeLinear/DequantizeLinear form that engines
 * fuse into integer kernels. Weights are signed (twice as fast as unsigned ones where the CPU has VNNI), activations
 * unsigned with an exact zero, biases int32 at the product of both scales.
 */
import type { TensorRef } from '../tensor-ref.ts';
import { int } from '../graph/build.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { freshNames, makeNode, removeDeadNodes, type Fresh } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { upgradeOpset } from '../graph/upgrade.ts';
import { encodeNumbers, lazyTensor, numberTensor, readFloats, readNumbers } from '../graph/values.ts';
import { rne } from '../numeric/rounding.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import { activationGrid, channelAxis, integerRefusal, integerWeight, isAsymmetric, saturationNote, scalarTensor } from './onnx-int8.ts';
import { note, type ExportNote } from './onnx-note.ts';
import { hasIntegerKernel, planStatic, type Made, type StaticPlan } from './onnx-static-plan.ts';
import { tileCache, type TileCache } from './onnx-tiles.ts';

export { activationValues } from './onnx-static-plan.ts';

export interface StaticOptions {
  /** By `Linear.id`. */
  readonly weights: ReadonlyMap<string, QuantizedMatrix>;
  /** By value name: what `activationValues` lists. */
  readonly ranges: ReadonlyMap<string, { readonly low: number; readonly high: number }>;
  /** Default `uint8`. */
  readonly activations?: 'uint8' | 'int8';
}

export async function exportStaticInt8(source: Graph, options: StaticOptions): Promise<{ graph: Graph; notes: readonly ExportNote[] }> {
  // Scales per channel came with operator set 13.
  const graph = (source.opset.get('') ?? 1) < 13 ? await upgradeOpset(source) : source;
  const writer = new StaticWriter(graph, options);
  return writer.write();
}

/** Largest bias code that leaves room for the sum it is added to. */
const biasLimit = 2 ** 30;

class StaticWriter {
  readonly #graph: Graph;
  readonly #options: StaticOptions;
  readonly #type: 'u8' | 'i8';
  readonly #fresh: Fresh;
  readonly #cache: TileCache = tileCache();
  readonly #plan: StaticPlan;
  readonly #weights: Map<string, TensorRef>;
  readonly #nodes: Node[] = [];
  readonly #notes: ExportNote[] = [];
  readonly #grids = new Map<string, { scale: number; names: readonly [scale: string, zero: string] }>();
  readonly #dequantized = new Map<string, { output: string; scales: () => Promise<Float32Array> }>();

  constructor(graph: Graph, options: StaticOptions) {
    this.#graph = graph;
    this.#options = options;
    this.#type = options.activations === 'int8' ? 'i8' : 'u8';
    this.#fresh = freshNames(graph);
    this.#weights = new Map(graph.weights);
    this.#plan = planStatic(graph, {
      isSite: (site) => this.#matrix(site) !== undefined,
      hasRange: (value) => options.ranges.has(value),
    });
  }

  async write(): Promise<{ graph: Graph; notes: readonly ExportNote[] }> {
    const { made, read, sites, between } = this.#plan;
    const shown = new Map<string, string>();
    for (const value of read) {
      const output = this.#fresh(`${value}_dequantized`);
      this.#roundTrip(value, value, output);
      shown.set(value, output);
    }
    const weightOnly = new Map(linearSites(this.#graph).filter((site) => !sites.has(site.node)).map((site) => [site.node, site]));
    const dropped = new Set<Node>();
    const renamed = new Map<string, string>();
    for (const one of made.values()) {
      const raw = this.#fresh(`${one.value}_float`);
      if (one.clamp !== undefined && (await this.#stands(one))) {
        dropped.add(one.clamp);
        renamed.set(one.node.outputs[0], raw);
      } else renamed.set(one.value, raw);
      this.#roundTrip(raw, one.value, one.value);
    }
    for (const node of this.#graph.nodes) {
      if (dropped.has(node)) continue;
      const outputs = node.outputs.map((output) => renamed.get(output) ?? output);
      const site = sites.get(node);
      const integer = site !== undefined || between.has(node);
      let inputs = integer ? node.inputs.map((input) => shown.get(input) ?? input) : node.inputs;
      if (site !== undefined) inputs = await this.#siteInputs(site, inputs);
      else if (weightOnly.has(node)) inputs = this.#weightOnly(weightOnly.get(node)!, inputs);
      this.#nodes.push({ ...node, inputs, outputs });
    }
    if (sites.size > 0 && this.#type === 'u8') this.#notes.push(saturationNote(this.#graph));
    const convolutions = [...sites.values()].filter(({ kind }) => kind === 'Conv');
    const grouped = convolutions.filter(({ groups }) => groups > 1).length;
    // One thread, WASM of 1.30: 0.5 to 1.6 times float's time with such layers (VWW, FastestDet, UltraFace), 0.3 to 0.5 without.
    if (grouped > 0) this.#notes.push(note('slow', this.#graph.name, `${grouped} of ${convolutions.length} integer convolutions are grouped, which onnxruntime-web may compute more slowly than float ones: time the file where it will run`));
    const next: Graph = { ...this.#graph, nodes: this.#nodes, weights: this.#weights };
    return { graph: removeDeadNodes({ ...next, nodes: sortNodes(next) }), notes: this.#notes };
  }

  /** The matrix of a site where integer kernels can take it. */
  #matrix(site: Linear): QuantizedMatrix | undefined {
    const matrix = this.#options.weights.get(site.id);
    return matrix !== undefined && integerRefusal(site, matrix) === undefined ? matrix : undefined;
  }

  /** Quantizes `from` under the scale of `value`, and back into `to`. */
  #roundTrip(from: string, value: string, to: string): void {
    const { names } = this.#grid(value);
    const codes = this.#fresh(`${value}_quantized`);
    this.#nodes.push(
      makeNode('QuantizeLinear', [from, ...names], [codes], { name: this.#fresh(`${value}_quantize`) }),
      makeNode('DequantizeLinear', [codes, ...names], [to], { name: this.#fresh(`${value}_dequantize`) }),
    );
  }

  /** Scale and zero point of a value, shared with what it was moved from. */
  #grid(value: string): { scale: number; names: readonly [string, string] } {
    const like = this.#plan.made.get(value)?.like;
    if (like !== undefined) return this.#grid(like);
    const known = this.#grids.get(value);
    if (known !== undefined) return known;
    const { scale, zero } = activationGrid(this.#options.ranges.get(value)!, this.#type);
    const names = [this.#fresh(`${value}_scale`), this.#fresh(`${value}_zero_point`)] as const;
    this.#weights.set(names[0], scalarTensor(names[0], scale));
    this.#weights.set(names[1], numberTensor(names[1], this.#type, [], [zero]));
    const grid = { scale, names };
    this.#grids.set(value, grid);
    return grid;
  }

  /** Whether the range of a value clamps as the operator before it does. */
  async #stands({ value, clamp }: Made): Promise<boolean> {
    const { low, high } = this.#options.ranges.get(value)!;
    if (clamp!.op === 'Relu') return low >= 0;
    const bound = async (index: number, name: string, fallback: number): Promise<number> => {
      const attribute = clamp!.attributes[name];
      if (attribute?.kind === 'float') return attribute.value;
      const input = clamp!.inputs[index] ?? '';
      if (input === '') return fallback;
      const weight = this.#graph.weights.get(input);
      return weight === undefined ? Number.NaN : (await readNumbers(weight))[0];
    };
    return (await bound(1, 'min', -Infinity)) <= Math.min(0, low) && (await bound(2, 'max', Infinity)) >= Math.max(0, high);
  }

  /** Inputs of an integer site: activation as it is, weight and bias dequantized. */
  async #siteInputs(site: Linear, inputs: readonly string[]): Promise<string[]> {
    const matrix = this.#options.weights.get(site.id)!;
    const { scale } = this.#grid(site.input);
    const bias = site.kind === 'MatMul' ? undefined : await this.#biasOf(site);
    const least = bias === undefined ? undefined : async () => (await bias()).map((value) => Math.abs(value) / scale / biasLimit);
    const weight = this.#weight(site, matrix, least);
    const next = [...inputs];
    next[1] = weight.output;
    if (bias !== undefined) next[2] = this.#bias(site, bias, scale, weight.scales);
    return next;
  }

  #weightOnly(site: Linear, inputs: readonly string[]): readonly string[] {
    const matrix = this.#options.weights.get(site.id);
    if (matrix === undefined) return inputs;
    const refusal = integerRefusal(site, matrix);
    if (refusal !== undefined) {
      this.#notes.push(note('float', site.id, `stays float, ${refusal}`));
      return inputs;
    }
    const reason = hasIntegerKernel(site) ? 'its activations stay float' : `${site.kind} has no integer kernel`;
    this.#notes.push(note('slow', site.id, `${reason}, computed in float from 8-bit weights`));
    const next = [...inputs];
    next[1] = this.#weight(site, matrix, undefined).output;
    return next;
  }

  /** The dequantized weight of a site; sites with tied weights share it where no bias bounds its scales. */
  #weight(site: Linear, matrix: QuantizedMatrix, leastScales: (() => Promise<ArrayLike<number>>) | undefined): { output: string; scales: () => Promise<Float32Array> } {
    const shared = leastScales === undefined ? this.#dequantized.get(site.id) : undefined;
    if (shared !== undefined) return shared;
    const made = integerWeight(site, matrix, { fresh: this.#fresh, cache: this.#cache, ...(leastScales === undefined ? {} : { leastScales }) });
    if (isAsymmetric(matrix)) this.#notes.push(note('slow', site.id, 'zero points per channel have no fused integer kernel'));
    const { codes, scales, zeros } = made;
    for (const tensor of [codes, scales, zeros]) this.#weights.set(tensor.name, tensor);
    const output = this.#fresh(`${site.id}_dequantized`);
    this.#nodes.push(makeNode('DequantizeLinear', [codes.name, scales.name, zeros.name], [output], {
      name: this.#fresh(`${site.id}_dequantize`), attributes: { axis: int(channelAxis(site)) },
    }));
    const result = { output, scales: made.scaleValues };
    if (leastScales === undefined) this.#dequantized.set(site.id, result);
    return result;
  }

  /** The bias of a Conv or Gemm as one value per channel; undefined where there is none, or it is of another form. */
  async #biasOf(site: Linear): Promise<(() => Promise<Float32Array>) | undefined> {
    const { node, rows } = site;
    const tensor = this.#graph.weights.get(node.inputs[2] ?? '');
    if (tensor === undefined) return undefined;
    const one = (name: string): boolean => { const found = node.attributes[name]; return found?.kind !== 'float' || found.value === 1; };
    const count = tensor.shape.reduce((product, dim) => product * dim, 1);
    if (!one('alpha') || !one('beta') || (count !== rows && count !== 1) || (count === rows && (tensor.shape.at(-1) ?? 1) !== rows)) {
      this.#notes.push(note('slow', site.id, 'its bias stays float, so that no integer kernel takes it'));
      return undefined;
    }
    return async () => {
      const values = await readFloats(tensor);
      return values.length === rows ? values : new Float32Array(rows).fill(values[0]);
    };
  }

  #bias(site: Linear, bias: () => Promise<Float32Array>, inputScale: number, weightScales: () => Promise<Float32Array>): string {
    const { rows } = site;
    const stem = site.node.inputs[2];
    const scales = async () => (await weightScales()).map((scale) => Math.fround(inputScale * scale));
    const scaleName = this.#fresh(`${stem}_scale`);
    const codesName = this.#fresh(`${stem}_quantized`);
    this.#weights.set(codesName, lazyTensor(codesName, 'i32', [rows], async () => {
      const steps = await scales();
      return encodeNumbers('i32', Array.from(await bias(), (value, row) => rne(value / steps[row])));
    }));
    this.#weights.set(scaleName, lazyTensor(scaleName, 'f32', [rows], async () => encodeNumbers('f32', await scales())));
    const output = this.#fresh(`${stem}_dequantized`);
    // WebGPU refuses a zero point beside int32 codes.
    this.#nodes.push(makeNode('DequantizeLinear', [codesName, scaleName], [output], { name: this.#fresh(`${stem}_dequantize`), attributes: { axis: int(0) } }));
    return output;
  }
}
