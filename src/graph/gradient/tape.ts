/** Nodes appended to a graph that exists already: what gradient rules and expansions write on. */
import type { TensorRef } from '../../tensor-ref.ts';
import { float32Tensor, int64Tensor, renamed } from '../build.ts';
import type { Attribute, Node } from '../graph.ts';
import type { Fresh } from '../rewrite.ts';

export type Attributes = Readonly<Record<string, Attribute>>;

export interface Tape {
  /** Appends a node with one output of ai.onnx and returns the name of its result. */
  op(type: string, inputs: readonly string[], attributes?: Attributes): string;
  /** Appends a node with several outputs, or of another domain. */
  node(type: string, inputs: readonly string[], options: { readonly attributes?: Attributes; readonly domain?: string; readonly outputs?: number }): string[];
  /** Appends a node whose result has a name that is free. */
  named(type: string, inputs: readonly string[], output: string, attributes?: Attributes): string;
  /** A float32 scalar. */
  constant(value: number): string;
  /** An int64 constant: a list is a vector, a number a scalar. */
  ints(values: number | readonly number[]): string;
  /** A constant tensor. */
  weight(tensor: TensorRef): string;
}

export class GraphTape implements Tape {
  readonly weights = new Map<string, TensorRef>();
  readonly opset = new Map<string, number>();
  #fresh: Fresh;
  #nodes: Node[] = [];
  #constants = new Map<string, string>();

  constructor(fresh: Fresh) {
    this.#fresh = fresh;
  }

  op(type: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.node(type, inputs, { attributes })[0];
  }

  node(type: string, inputs: readonly string[], { attributes = {}, domain = '', outputs = 1 }: { readonly attributes?: Attributes; readonly domain?: string; readonly outputs?: number }): string[] {
    const names = Array.from({ length: outputs }, () => this.#fresh(`${type}/g`));
    if (domain !== '') this.opset.set(domain, 1);
    this.#nodes.push({ name: this.#fresh(`${type}/n`), op: type, domain, inputs, outputs: names, attributes });
    return names;
  }

  named(type: string, inputs: readonly string[], output: string, attributes: Attributes = {}): string {
    this.#nodes.push({ name: this.#fresh(`${type}/n`), op: type, domain: '', inputs, outputs: [output], attributes });
    return output;
  }

  constant(value: number): string {
    return this.#once(`f ${value}`, () => float32Tensor('const', value));
  }

  ints(values: number | readonly number[]): string {
    return this.#once(`i ${typeof values === 'number' ? values : `[${values.join(' ')}]`}`, () => int64Tensor('ints', values));
  }

  weight(tensor: TensorRef): string {
    const name = this.#fresh(tensor.name === '' ? 'weight' : tensor.name);
    this.weights.set(name, renamed(tensor, name));
    return name;
  }

  #once(key: string, make: () => TensorRef): string {
    let name = this.#constants.get(key);
    if (name === undefined) this.#constants.set(key, name = this.weight(make()));
    return name;
  }

  /** The nodes appended since the last call. */
  take(): Node[] {
    const nodes = this.#nodes;
    this.#nodes = [];
    return nodes;
  }
}
