/** What a file of weights holds, without building a model of it: tensors, their figures, what formats would cost. */
import { defineErrors } from '../errors.ts';
import type { Dim, Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { isFloatType } from '../graph/values.ts';
import { elementCount, isBlockType, type TensorRef, type TensorType } from '../tensor-ref.ts';
import { readFloats } from '../files/values.ts';
import { formatCosts, type Costs, type Matrix } from './inspect-cost.ts';
import { isDecodable, statisticsOf, type TensorStatistics } from './inspect-statistics.ts';
import { matches } from './keep.ts';

/** A file that was opened: tensors by name, and the graph where there is one. */
export interface Inspectable {
  readonly name: string;
  readonly kind: 'onnx' | 'gguf' | 'safetensors';
  /** Bytes of all files. */
  readonly bytes: number;
  readonly tensors: ReadonlyMap<string, TensorRef>;
  readonly graph?: Graph;
  readonly metadata: readonly (readonly [name: string, value: string])[];
  close(): Promise<void>;
}

export interface TensorFacts {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: TensorType;
  readonly bytes: number;
  readonly statistics?: TensorStatistics;
}

/** A place where a weight matrix multiplies an activation. */
export interface SiteFacts {
  readonly weight: string;
  readonly kind: string;
  readonly node: string;
  readonly rows: number;
  readonly cols: number;
  readonly groups: number;
  readonly kernel: readonly number[];
  readonly bias: boolean;
}

export interface ValueFacts { readonly name: string; readonly type: string; readonly shape: readonly (number | string)[] | null }

export interface Inspection {
  readonly name: string;
  readonly kind: Inspectable['kind'];
  readonly bytes: number;
  readonly metadata: readonly (readonly [name: string, value: string])[];
  /** Tensors in the file, and how many of them are listed here. */
  readonly tensorCount: number;
  readonly weights: number;
  /** By type, largest first. */
  readonly types: readonly { readonly type: TensorType; readonly tensors: number; readonly bytes: number }[];
  readonly graph?: {
    readonly nodes: number;
    readonly operators: readonly (readonly [name: string, count: number])[];
    readonly inputs: readonly ValueFacts[];
    readonly outputs: readonly ValueFacts[];
    readonly sites: readonly SiteFacts[];
  };
  readonly tensors: readonly TensorFacts[];
  readonly costs: Costs;
}

const errors = defineErrors('inspect', {
  noMatch: (f: { file: string; pattern: string; example: string }) => [`${f.file}: no tensor is called ${f.pattern}`, `* stands for anything; there is, for example, ${f.example}`] as const,
  empty: (f: { file: string }) => `${f.file}: holds no tensors`,
});

export interface InspectOptions {
  /** Only tensors with such a name; `*` stands for anything. */
  readonly tensor?: string;
  readonly onPhase?: (text: string, units: number) => void;
  readonly onAdvance?: (done: number) => void;
}

export async function inspect(model: Inspectable, { tensor: pattern, onPhase, onAdvance }: InspectOptions = {}): Promise<Inspection> {
  const { name, kind, bytes, metadata, graph } = model;
  const all = [...model.tensors.values()];
  if (all.length === 0) throw errors.empty({ file: name });
  const chosen = pattern === undefined ? all : all.filter((tensor) => matches(pattern, tensor.name));
  if (chosen.length === 0) throw errors.noMatch({ file: name, pattern: pattern!, example: all[0].name });

  onPhase?.(`figures of ${chosen.length} tensors`, chosen.length);
  const tensors: TensorFacts[] = [];
  for (const tensor of chosen) {
    const statistics = await statisticsOf(tensor);
    tensors.push({ name: tensor.name, shape: tensor.shape, type: tensor.type, bytes: tensor.byteLength, ...(statistics === undefined ? {} : { statistics }) });
    onAdvance?.(tensors.length);
  }

  const wanted = new Set(chosen.map((tensor) => tensor.name));
  const sites = graph === undefined ? [] : linearSites(graph, { gather: true }).filter(({ id }) => wanted.has(id));
  const matrices = graph === undefined ? chosen.flatMap(matrixOf) : [...new Map(sites.map((site) => [site.id, {
    name: site.id, rows: site.rows, cols: site.cols, bytes: site.weight.byteLength, readRows: (begin: number, end: number) => site.readRows(begin, end),
  }])).values()];
  onPhase?.(`costs of formats for ${matrices.length} matrices`, matrices.length);
  const inMatrices = new Set(matrices.map((matrix) => matrix.name));
  const others = chosen.filter((tensor) => !inMatrices.has(tensor.name));
  const costs = await formatCosts(matrices, {
    bytes: sum(others, ({ byteLength }) => byteLength), weights: sum(others.filter(isWeight), ({ shape }) => elementCount(shape)),
  }, onAdvance);

  return {
    name, kind, bytes, metadata, tensorCount: all.length, weights: sum(chosen.filter(isWeight), ({ shape }) => elementCount(shape)), types: byType(chosen), tensors, costs,
    ...(graph === undefined ? {} : { graph: {
      nodes: graph.nodes.length, operators: operators(graph), inputs: graph.inputs.map(valueFacts), outputs: graph.outputs.map(valueFacts),
      sites: sites.map(({ id, kind: op, node, rows, cols, groups, kernel, bias }) => ({ weight: id, kind: op, node: node.name, rows, cols, groups, kernel, bias: bias !== undefined })),
    } }),
  };
}

const sum = (tensors: readonly TensorRef[], of: (tensor: TensorRef) => number): number => tensors.reduce((total, tensor) => total + of(tensor), 0);

/** Constants of graphs, such as shapes, are no weights. */
const isWeight = ({ type }: TensorRef): boolean => isBlockType(type) || isFloatType(type) || type.startsWith('f');

/** A stored tensor as a matrix: its last dimension is the reduction axis, as linear layers have it. */
function matrixOf(tensor: TensorRef): Matrix[] {
  const { name, type, shape, byteLength } = tensor;
  const cols = shape.at(-1) ?? 1;
  const rows = elementCount(shape.slice(0, -1));
  if (shape.length < 2 || rows < 2 || cols < 2 || !isWeight(tensor)) return [];
  return [{ name, rows, cols, bytes: byteLength, ...(isDecodable(type) ? { readRows: (begin: number, end: number) => readFloats(tensor, begin, end) } : {}) }];
}

function byType(tensors: readonly TensorRef[]): Inspection['types'] {
  const found = new Map<TensorType, { tensors: number; bytes: number }>();
  for (const { type, byteLength } of tensors) {
    const { tensors: count, bytes } = found.get(type) ?? { tensors: 0, bytes: 0 };
    found.set(type, { tensors: count + 1, bytes: bytes + byteLength });
  }
  return [...found].map(([type, counts]) => ({ type, ...counts })).sort((a, b) => b.bytes - a.bytes);
}

function operators({ nodes }: Graph): (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const { op, domain } of nodes) {
    const name = domain === '' ? op : `${domain}.${op}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

const valueFacts = ({ name, type, shape }: { name: string; type: string | undefined; shape: readonly Dim[] | undefined }): ValueFacts =>
  ({ name, type: type ?? 'unknown', shape: shape?.map((dim) => dim ?? '?') ?? null });
