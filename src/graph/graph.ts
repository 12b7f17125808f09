/**
 * The one intermediate representation: an ONNX-shaped graph with lazily read weights.
 * Graphs are values. A pass takes one and returns another, sharing what it did not touch.
 */
import type { ElementType, TensorRef } from '../tensor-ref.ts';

/** A symbolic dimension is its name; an unknown one is undefined. */
export type Dim = number | string | undefined;

export interface ValueInfo {
  readonly name: string;
  readonly type: ElementType | 'string' | undefined;
  /** Undefined when the rank is unknown. */
  readonly shape: readonly Dim[] | undefined;
}

export type Attribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: TensorRef }
  | { readonly kind: 'graph'; readonly value: Graph };

export interface Node {
  readonly name: string;
  /** Operator name of the standard, such as `Conv`. */
  readonly op: string;
  /** Empty for ai.onnx; `com.microsoft` for contrib operators; `fewbit` for composites. */
  readonly domain: string;
  /** Value names; an empty string is an omitted optional input. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface Graph {
  readonly name: string;
  /** In topological order. */
  readonly nodes: readonly Node[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Initializers by value name. */
  readonly weights: ReadonlyMap<string, TensorRef>;
  /** Known types and shapes of inner values. */
  readonly values: ReadonlyMap<string, ValueInfo>;
  /** Operator set version per domain. */
  readonly opset: ReadonlyMap<string, number>;
  /** Free-form key/value pairs carried with the model. */
  readonly metadata: ReadonlyMap<string, string>;
}
