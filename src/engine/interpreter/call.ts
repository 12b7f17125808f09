/** One node being computed: its inputs, and its attributes with the defaults of the standard. */
import { defineErrors } from '../../errors.ts';
import type { TensorRef } from '../../tensor-ref.ts';
import type { Attribute, Graph, Node } from '../../graph/graph.ts';
import { label } from '../../graph/traverse.ts';
import type { Value64 } from './value.ts';

export const errors = defineErrors('interpreter', {
  unknownOperator: (f: { op: string; node: string }) => `node ${f.node}: the interpreter has no operator ${f.op}`,
  missingInput: (f: { node: string; input: number }) => `node ${f.node}: input ${f.input} is missing`,
  missingAttribute: (f: { node: string; attribute: string }) => `node ${f.node}: attribute ${f.attribute} is missing`,
  attributeKind: (f: { node: string; attribute: string; kind: string; wanted: string }) =>
    `node ${f.node}: attribute ${f.attribute} is of kind ${f.kind}, not ${f.wanted}`,
  setting: (f: { node: string; setting: string; value: string; known: string }) =>
    `node ${f.node}: ${f.setting} ${f.value} (known: ${f.known})`,
  shape: (f: { node: string; reason: string }) => `node ${f.node}: ${f.reason}`,
});

/** Runs the body of a control flow node over these inputs, in the order of the body; gives its outputs in order. */
export type RunBody = (body: Graph, inputs: readonly Value64[]) => Promise<Value64[]>;

/** What an attribute of each kind holds. */
type Values = { [A in Attribute as A['kind']]: A['value'] };

export class Call {
  readonly node: Node;
  readonly #inputs: readonly (Value64 | undefined)[];
  readonly run: RunBody;

  constructor(node: Node, inputs: readonly (Value64 | undefined)[], run: RunBody) {
    this.node = node;
    this.#inputs = inputs;
    this.run = run;
  }

  get name(): string {
    return label(this.node);
  }

  /** Inputs that the node names; a variadic operator takes them all. */
  get inputs(): readonly Value64[] {
    return this.#inputs.map((_, i) => this.input(i));
  }

  input(i: number): Value64 {
    const value = this.#inputs[i];
    if (value === undefined) throw errors.missingInput({ node: this.name, input: i });
    return value;
  }

  optional(i: number): Value64 | undefined {
    return this.#inputs[i];
  }

  /** Elements of an optional input as a list: axes, shapes, pads. */
  list(i: number): number[] | undefined {
    const value = this.#inputs[i];
    return value === undefined ? undefined : [...value.data];
  }

  #attribute<K extends Attribute['kind']>(name: string, wanted: K): Values[K] | undefined {
    const attribute = this.node.attributes[name];
    if (attribute === undefined) return undefined;
    if (attribute.kind !== wanted) throw errors.attributeKind({ node: this.name, attribute: name, kind: attribute.kind, wanted });
    return attribute.value as Values[K];
  }

  #required<T>(name: string, value: T | undefined): T {
    if (value === undefined) throw errors.missingAttribute({ node: this.name, attribute: name });
    return value;
  }

  /** Without a default the attribute is required; so for the others. */
  int(name: string, fallback?: number): number {
    return this.#required(name, this.#attribute(name, 'int') ?? fallback);
  }

  flag(name: string, fallback = false): boolean {
    return this.int(name, fallback ? 1 : 0) !== 0;
  }

  float(name: string, fallback?: number): number {
    return this.#required(name, this.#attribute(name, 'float') ?? fallback);
  }

  ints(name: string): readonly number[] | undefined {
    return this.#attribute(name, 'ints');
  }

  text(name: string, fallback?: string): string {
    return this.#required(name, this.#attribute(name, 'string') ?? fallback);
  }

  tensor(name: string): TensorRef | undefined {
    return this.#attribute(name, 'tensor');
  }

  body(name: string): Graph {
    return this.#required(name, this.#attribute(name, 'graph'));
  }

  /** A row of a table by the name that an attribute gives. */
  choice<T>(setting: string, value: string, table: Readonly<Record<string, T>>): T {
    if (!Object.hasOwn(table, value)) throw errors.setting({ node: this.name, setting, value, known: Object.keys(table).join(', ') });
    return table[value];
  }

  /** The error of inputs whose shapes do not go together. */
  wrong(reason: string): Error {
    return errors.shape({ node: this.name, reason });
  }
}

/** Computes a node: its outputs in order, one value alone where there is one. */
export type Operator = (call: Call) => Value64 | readonly Value64[] | Promise<Value64 | readonly Value64[]>;
export type Operators = Readonly<Record<string, Operator>>;
