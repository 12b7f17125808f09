/** What a gradient rule sees of one node, and the few things that many rules write. */
import { defineErrors } from '../../errors.ts';
import { int, ints } from '../build.ts';
import type { Node } from '../graph.ts';
import type { Tape } from './tape.ts';

const errors = defineErrors('gradient', {
  content: (f: { op: string; input: number }) => `${f.op}: input ${f.input} must be known before the graph runs for its gradient`,
  setting: (f: { op: string; setting: string }) => `no gradient rule for ${f.op} with ${f.setting}`,
});

/** Writes the gradient of a node and returns the gradient of each input; undefined where none flows. */
export type GradientRule = (site: GradientSite) => readonly (string | undefined)[];

export class GradientSite {
  readonly node: Node;
  readonly tape: Tape;
  /** Gradient of each output; undefined where none arrives. */
  readonly arriving: readonly (string | undefined)[];
  #shapes: ReadonlyMap<string, readonly number[]>;
  #contents: ReadonlyMap<string, readonly number[]>;
  #active: ReadonlySet<string>;
  #extend: (index: number) => string;

  constructor(
    node: Node, tape: Tape, arriving: readonly (string | undefined)[],
    known: { readonly shapes: ReadonlyMap<string, readonly number[]>; readonly contents: ReadonlyMap<string, readonly number[]>; readonly active: ReadonlySet<string> },
    extend: (index: number) => string,
  ) {
    this.node = node;
    this.tape = tape;
    this.arriving = arriving;
    this.#shapes = known.shapes;
    this.#contents = known.contents;
    this.#active = known.active;
    this.#extend = extend;
  }

  /** Gradient of the first output, which every rule but those of several outputs is about. */
  get dy(): string { return this.arriving[0]!; }
  /** Value of the first output. */
  get y(): string { return this.node.outputs[0]; }
  /** Value of the first input. */
  get x(): string { return this.node.inputs[0]; }

  /** True when somebody wants the gradient of an input. */
  wants(index: number): boolean {
    const name = this.node.inputs[index] ?? '';
    return name !== '' && this.#active.has(name);
  }
  has(index: number): boolean { return (this.node.inputs[index] ?? '') !== ''; }

  /** Output `index` of the node, which makes it from now on where it was omitted. */
  output(index: number): string { return this.#extend(index); }

  /** Shape of input `index`. */
  shape(index = 0): readonly number[] { return this.#shapes.get(this.node.inputs[index])!; }
  /** Shape of output `index`. */
  resultShape(index = 0): readonly number[] { return this.#shapes.get(this.node.outputs[index])!; }
  /** Entries of a small integer or float input that is known before running. */
  content(index: number): readonly number[] {
    const found = this.#contents.get(this.node.inputs[index]);
    if (found === undefined) throw errors.content({ op: this.node.op, input: index });
    return found;
  }
  /** The error of a setting that no rule covers. */
  without(setting: string): Error { return errors.setting({ op: this.node.op, setting }); }
  /** Entries of an optional input, or undefined where it is omitted. */
  optional(index: number): readonly number[] | undefined { return this.has(index) ? this.content(index) : undefined; }

  int(name: string, fallback: number): number { const found = this.node.attributes[name]; return found?.kind === 'int' ? found.value : fallback; }
  float(name: string, fallback: number): number { const found = this.node.attributes[name]; return found?.kind === 'float' ? found.value : fallback; }
  ints(name: string): readonly number[] | undefined { const found = this.node.attributes[name]; return found?.kind === 'ints' ? found.value : undefined; }
  text(name: string, fallback: string): string { const found = this.node.attributes[name]; return found?.kind === 'string' ? found.value : fallback; }
  axis(name: string, fallback: number, rank = this.shape().length): number { const axis = this.int(name, fallback); return axis < 0 ? axis + rank : axis; }

  // Arithmetic that reads like the formulas; numbers become constants.
  #value(value: string | number): string { return typeof value === 'number' ? this.tape.constant(value) : value; }
  add(a: string | number, b: string | number): string { return this.tape.op('Add', [this.#value(a), this.#value(b)]); }
  sub(a: string | number, b: string | number): string { return this.tape.op('Sub', [this.#value(a), this.#value(b)]); }
  mul(a: string | number, b: string | number): string { return this.tape.op('Mul', [this.#value(a), this.#value(b)]); }
  div(a: string | number, b: string | number): string { return this.tape.op('Div', [this.#value(a), this.#value(b)]); }
  neg(a: string): string { return this.tape.op('Neg', [a]); }
  /** `value` where the condition holds, else zero. */
  only(condition: string, value: string): string { return this.tape.op('Where', [condition, value, this.tape.constant(0)]); }
  /** a / b, and zero where b is zero: norms have no slope at the origin, and zero stands in for it. */
  over(a: string, b: string): string { return this.tape.op('Where', [this.tape.op('Equal', [b, this.tape.constant(0)]), this.tape.constant(0), this.div(a, b)]); }
  reshape(value: string, shape: readonly number[]): string { return this.tape.op('Reshape', [value, this.tape.ints(shape)], shape.includes(0) ? { allowzero: int(1) } : {}); }
  transpose(value: string, perm: readonly number[]): string { return perm.every((axis, i) => axis === i) ? value : this.tape.op('Transpose', [value], { perm: ints(perm) }); }
  sum(value: string, axes: readonly number[], keep = true): string {
    return axes.length === 0 ? value : this.tape.op('ReduceSum', [value, this.tape.ints(axes)], { keepdims: int(keep ? 1 : 0) });
  }
  expand(value: string, shape: readonly number[]): string { return this.tape.op('Expand', [value, this.tape.ints(shape)]); }
  zeros(shape: readonly number[]): string { return this.expand(this.tape.constant(0), shape); }

  /** Sums a gradient over what broadcasting repeated: from the shape it has to the shape of input `index`. */
  unbroadcast(value: string, from: readonly number[], index: number): string {
    return unbroadcast(this, value, from, this.shape(index));
  }
}

/** Sums `value` of shape `from` over the axes along which a value of shape `to` was repeated. */
export function unbroadcast(site: GradientSite, value: string, from: readonly number[], to: readonly number[]): string {
  const lead = from.length - to.length;
  const axes = from.flatMap((dim, i) => (i < lead || (to[i - lead] === 1 && dim !== 1) ? [i] : []));
  if (axes.length === 0) return lead === 0 ? value : site.reshape(value, to);
  const reduced = site.sum(value, axes);
  return lead === 0 ? reduced : site.reshape(reduced, to);
}
