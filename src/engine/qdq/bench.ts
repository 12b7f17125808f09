/** What operators are prepared with: places for their values, and the calls of a run. */
import type { Value64 } from '../interpreter/value.ts';
import type { QdqBuild, QdqKernels } from '../kernels/qdq.ts';
import type { Arena, Held, Stored } from './memory.ts';
import type { QdqNetwork } from './network.ts';
import type { LaidProducts } from './products.ts';

/** One call of a run, with everything but the values of this run. */
export type Step = () => void | Promise<void>;
/** What a step throws that finds other shapes or positions than were planned for. */
export const stale = Symbol('stale');

/** What operators are prepared with. */
export interface Bench {
  readonly kernels: QdqKernels;
  readonly build: QdqBuild;
  readonly arena: Arena;
  readonly network: QdqNetwork;
  readonly products: ReadonlyMap<object, LaidProducts>;
  /** Codes or floats of a value, where they are asked for. */
  stored(name: string): Stored;
  /** Lays floats of the interpreter into memory. */
  floats(name: string): void;
  /** Reads a value as the interpreter holds it, as it is when this operator has its turn. */
  reading(name: string): () => Value64;
  /** Its kind, without laying it down. */
  kind(name: string): 'codes' | 'floats' | 'held';
  shapeOf(name: string): readonly number[];
  /** A place for a result. */
  make(name: string, kind: Stored['kind'], shape: readonly number[]): Stored;
  /** A result that lies elsewhere. */
  move(name: string, from: string, shape: readonly number[], places: Int32Array, fill: number): void;
  hold(name: string, value: Value64): Held;
  /** Memory within one step. */
  scratch(bytes: number): number;
  /** Bytes that steps read. */
  keep(bytes: Uint8Array): number;
  onRun(step: Step): void;
}
