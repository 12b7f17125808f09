/**
 * A graph written down as it is computed:
 *
 *     const g = new GraphBuilder('linear', 21);
 *     const x = g.input('x', 'f32', ['batch', 4]);
 *     const w = g.weight(floatTensor('w', [4, 2], values));
 *     g.output(g.op('MatMul', [x, w]), 'y', 'f32', ['batch', 2]);
 *     const graph = g.graph();
 */
import { defineErrors } from '../errors.ts';
import { floatTensor, memoryTensor, type ElementType, type TensorRef } from '../tensor-ref.ts';
import type { Attribute, Dim, Graph, Node, ValueInfo } from './graph.ts';

const errors = defineErrors('build', {
  unknownValue: (f: { op: string; value: string }) => `${f.op}: no value is named ${f.value}`,
  taken: (f: { value: string }) => `a value named ${f.value} exists already`,
  fraction: (f: { value: number }) => `integer attribute: ${f.value} is not an integer`,
});

const whole = (value: number): number => {
  if (!Number.isInteger(value)) throw errors.fraction({ value });
  return value;
};
export const int = (value: number): Attribute => ({ kind: 'int', value: whole(value) });
export const ints = (value: readonly number[]): Attribute => ({ kind: 'ints', value: value.map(whole) });
/** Rounded to float32, as the file keeps it. */
export const float = (value: number): Attribute => ({ kind: 'float', value: Math.fround(value) });
export const floats = (value: readonly number[]): Attribute => ({ kind: 'floats', value: value.map(Math.fround) });
export const string = (value: string): Attribute => ({ kind: 'string', value });
export const strings = (value: readonly string[]): Attribute => ({ kind: 'strings', value });
export const tensor = (value: TensorRef): Attribute => ({ kind: 'tensor', value });
export const subgraph = (value: Graph): Attribute => ({ kind: 'graph', value });

const int64Max = 2n ** 63n - 1n;
/** A number as int64; 2^63, the nearest double to "as far as there is", becomes the largest value. */
export const toInt64 = (value: number): bigint => {
  const exact = BigInt(value);
  return exact > int64Max ? int64Max : exact < -int64Max - 1n ? -int64Max - 1n : exact;
};

/** An int64 tensor; a number gives a scalar, a list a vector. */
export function int64Tensor(name: string, values: number | readonly number[]): TensorRef {
  const list = typeof values === 'number' ? [values] : values;
  const data = BigInt64Array.from(list, toInt64);
  return memoryTensor(name, 'i64', typeof values === 'number' ? [] : [list.length], new Uint8Array(data.buffer));
}

/** A float32 tensor; a number gives a scalar, a list a vector. */
export function float32Tensor(name: string, values: number | readonly number[]): TensorRef {
  const list = typeof values === 'number' ? [values] : values;
  return floatTensor(name, typeof values === 'number' ? [] : [list.length], Float32Array.from(list));
}

/** The same tensor under another name. */
export const renamed = (value: TensorRef, name: string): TensorRef =>
  (name === value.name ? value : { ...value, name, read: (begin, end) => value.read(begin, end) });

export interface OpOptions {
  readonly domain?: string;
  /** Names of the outputs, or how many there are; default one, named after the operator. */
  readonly outputs?: number | readonly string[];
  /** Name of the node, and stem of the names of its outputs. */
  readonly name?: string;
}

export class GraphBuilder {
  readonly name: string;
  readonly opset: Map<string, number>;
  readonly metadata = new Map<string, string>();
  #nodes: Node[] = [];
  #inputs: ValueInfo[] = [];
  #outputs: ValueInfo[] = [];
  #weights = new Map<string, TensorRef>();
  #values = new Map<string, ValueInfo>();
  #names = new Set<string>();
  #nodeNames = new Set<string>();
  #counts = new Map<string, number>();
  /** Values that became graph outputs under another name; both names may be used. */
  #aliases = new Map<string, string>();
  #outer: GraphBuilder | undefined;

  /** `outer` builds the body of an If, Loop or Scan that may use the values of that builder. */
  constructor(name: string, opset = 21, outer?: GraphBuilder) {
    this.name = name;
    this.opset = new Map([['', opset]]);
    this.#outer = outer;
  }

  #has(name: string): boolean {
    return this.#names.has(name) || (this.#outer !== undefined && this.#outer.#has(name));
  }

  /** A name not yet in use: `stem`, then `stem_1`, `stem_2`, … */
  fresh(stem: string): string {
    return this.#unique(stem, (name) => this.#has(name));
  }

  #unique(stem: string, isTaken: (name: string) => boolean): string {
    if (!isTaken(stem)) return stem;
    for (let i = this.#counts.get(stem) ?? 1; ; i++) {
      const name = `${stem}_${i}`;
      if (!isTaken(name)) {
        this.#counts.set(stem, i + 1);
        return name;
      }
    }
  }

  #declare(name: string): string {
    if (name === '' || this.#has(name)) throw errors.taken({ value: name });
    this.#names.add(name);
    return name;
  }

  /** Declares a graph input. */
  input(name: string, type: ElementType, shape: readonly Dim[]): string {
    this.#inputs.push({ name: this.#declare(name), type, shape });
    return name;
  }

  /** Adds an initializer under the tensor's own name, or one derived from it where that is taken. */
  weight(value: TensorRef): string {
    const name = this.fresh(value.name === '' ? 'weight' : value.name);
    this.#weights.set(this.#declare(name), renamed(value, name));
    return name;
  }

  /** Shorthand for an int64 initializer (axes, shapes). */
  ints(values: number | readonly number[], stem = 'ints'): string {
    return this.weight(int64Tensor(stem, values));
  }

  /** Shorthand for a float32 initializer (constants). */
  floats(values: number | readonly number[], stem = 'const'): string {
    return this.weight(float32Tensor(stem, values));
  }

  /** Appends a node and names its outputs; an empty input name is an omitted optional input. */
  op(type: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>, options?: OpOptions & { readonly outputs?: 1 | readonly [string] }): string;
  op(type: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>>, options: OpOptions): string[];
  op(type: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, options: OpOptions = {}): string | string[] {
    for (const value of inputs) {
      if (value !== '' && !this.#has(value)) throw errors.unknownValue({ op: type, value });
    }
    const name = this.#unique(options.name ?? type, (candidate) => this.#nodeNames.has(candidate));
    this.#nodeNames.add(name);
    const { outputs: wanted = 1, domain = '' } = options;
    const outputs = typeof wanted === 'number'
      ? Array.from({ length: wanted }, (_, i) => this.#declare(this.fresh(wanted === 1 ? `${name}_out` : `${name}_out${i}`)))
      : wanted.map((output) => (output === '' ? '' : this.#declare(output)));
    if (domain !== '' && !this.opset.has(domain)) this.opset.set(domain, 1);
    this.#nodes.push({ name, op: type, domain, inputs: inputs.map((value) => this.#aliases.get(value) ?? value), outputs, attributes });
    return outputs.length === 1 ? outputs[0] : outputs;
  }

  /** Notes the type and shape of an inner value. */
  info(value: string, type: ElementType, shape: readonly Dim[]): string {
    const name = this.#aliases.get(value) ?? value;
    this.#values.set(name, { name, type, shape });
    return name;
  }

  /** Declares a graph output; a new `name` renames the value through an Identity when something else made it. */
  output(value: string, name = value, type?: ElementType, shape?: readonly Dim[]): string {
    if (!this.#has(value)) throw errors.unknownValue({ op: 'output', value });
    if (name !== value && !this.#rename(value, name)) this.op('Identity', [value], {}, { outputs: [name] });
    const known = this.#values.get(name);
    this.#outputs.push({ name, type: type ?? known?.type, shape: shape ?? known?.shape });
    return name;
  }

  /** Renames the result of a node in place while nothing but nodes refers to it; false where that cannot be. */
  #rename(from: string, to: string): boolean {
    const maker = this.#nodes.findIndex((node) => node.outputs.includes(from));
    if (maker < 0 || this.#outputs.some((output) => output.name === from)) return false;
    if (this.#nodes.some((node) => Object.values(node.attributes).some((a) => a.kind === 'graph'))) return false;
    this.#declare(to);
    this.#aliases.set(from, to);
    const swap = (value: string): string => (value === from ? to : value);
    this.#nodes = this.#nodes.map((node, i) => (i === maker || node.inputs.includes(from)
      ? { ...node, inputs: node.inputs.map(swap), outputs: node.outputs.map(swap) }
      : node));
    const info = this.#values.get(from);
    if (info !== undefined) {
      this.#values.delete(from);
      this.#values.set(to, { ...info, name: to });
    }
    return true;
  }

  /** The graph so far. */
  graph(): Graph {
    return {
      name: this.name,
      nodes: [...this.#nodes],
      inputs: [...this.#inputs],
      outputs: [...this.#outputs],
      weights: new Map(this.#weights),
      values: new Map(this.#values),
      opset: new Map(this.opset),
      metadata: new Map(this.metadata),
    };
  }
}
