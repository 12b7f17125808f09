/** What the steps of a recipe pass on to each other, and what every step may use. */
import type { Allocation } from '../allocate/allocation.ts';
import type { Engine } from '../engine/session.ts';
import type { NumberFormat } from '../formats/format.ts';
import type { Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import type { LayerShapes } from '../observe/layer-work.ts';
import type { Distance } from '../observe/output-distance.ts';
import type { ObservedRange } from '../observe/ranges.ts';
import type { Batches } from '../observe/taps.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import type { Recipe, Step } from './recipe.ts';

export interface ApplyOptions {
  /** Format of each site's weight; undefined leaves it float. */
  formatOf(site: Linear): NumberFormat | undefined;
  /** Format that a site's weight was given by itself: no step chooses another. */
  ownFormat?(site: Linear): NumberFormat | undefined;
  /** Format that a site's input takes as it is multiplied; undefined leaves it float. */
  activationOf?(site: Linear): NumberFormat | undefined;
  readonly engine: Engine;
  /** Calibration feeds, started again for each pass; needed by recipes that need sample inputs. */
  readonly batches?: () => Batches;
  /** Values whose ranges `observe-ranges` finds, as names of the transformed graph. */
  activationValues?(graph: Graph): readonly string[] | Promise<readonly string[]>;
  /** Of what is random: data that are made, orders of samples. */
  readonly seed?: number;
  readonly threads?: number;
  /** Second moments held at a time, bytes; sites are observed in several passes beyond it. */
  readonly momentBytes?: number;
  /** How far outputs lie from the float ones where formats are chosen by measurement. Default `noise`. */
  readonly distance?: Distance;
  /** Weights that all trials of formats may multiply with together before one format per layer stands for the others. */
  readonly trialWeights?: number;
  /** Default: what formats say of themselves. */
  readonly storage?: StorageCost;
  /** Bits of layers' inputs where no format says them: 8 where integers are multiplied. Default 32. */
  readonly inputBits?: number;
  /** Needed where formats are chosen within a time. */
  readonly layerTimes?: LayerTimes;
  readonly measurements?: Measurements;
  onSite?(site: Linear, done: number, total: number): void;
  /** One line about what takes long. */
  onLine?(line: string): void;
}

/** What weights cost in the file that is written. */
export interface StorageCost {
  /** Weights of the model: what bits per weight are counted over. */
  readonly weights: number;
  /** What is counted, in words. */
  readonly counted: string;
  /** Bits of a site's weight in a format that no other layer shares: codes, scales, zero points. */
  bitsOf(site: Linear, format: NumberFormat): Promise<number>;
  /** Bits of what layers share in these formats, such as tables and rotations; `own` is the sum of what each has by itself. Default 0. */
  shared?(chosen: readonly { readonly site: Linear; readonly format: NumberFormat }[], own: number): Promise<number>;
  /** Bits of everything else that the file of a graph holds. */
  rest(graph: Graph, without: ReadonlySet<string>): Promise<number>;
}

/** How long layers take on the engine that will load the file. */
export interface LayerTimes {
  /** What is measured, in words: engine, threads. */
  readonly counted: string;
  /** Milliseconds of a layer of the graph at these shapes: float, and in each format. */
  of(graph: Graph, site: Linear, shapes: LayerShapes, formats: readonly NumberFormat[]): Promise<{ readonly float: number; readonly formats: readonly number[] }>;
}

/** Figures that earlier runs measured on the same model, data and settings, by what was measured. */
export interface Measurements {
  read(name: string): Promise<Readonly<Record<string, number>> | undefined>;
  write(name: string, values: Readonly<Record<string, number>>): Promise<void>;
  /** Larger things, as bytes: moments of inputs, layers that were rounded. Absent where they are not kept. */
  readonly large?: { read(name: string): Promise<Uint8Array | undefined>; write(name: string, bytes: Uint8Array): Promise<void> };
}

/** Every step takes a state and returns the next; none changes what it was given. */
export interface RecipeState {
  /** The float graph after the transforms so far: branches, scales and rotations are ordinary nodes of it. */
  readonly graph: Graph;
  /** By weight id. */
  readonly weights: ReadonlyMap<string, QuantizedMatrix>;
  readonly ranges: ReadonlyMap<string, ObservedRange>;
  /** Mean squared input per column by weight id, where inputs were observed. */
  readonly importance: ReadonlyMap<string, Float32Array>;
  /** Formats by weight id that an allocator chose; they take the place of the format asked for. */
  readonly formats: ReadonlyMap<string, NumberFormat>;
  /** Formats that inputs of sites take as they are multiplied, measured on each input, by the site's output. */
  readonly activations: ReadonlyMap<string, NumberFormat>;
  /** Weights by id that steps put into the graph and that stay float: rotations, low-rank branches. */
  readonly kept: ReadonlySet<string>;
  /** The file computes in integers alone. */
  readonly integerOnly?: boolean;
  /** How formats were chosen by measurement, where they were. */
  readonly allocation?: Allocation;
  /** What the manifest should say of the run. */
  readonly notes: readonly string[];
  /** The sample inputs that the recipe made for itself, if it did; they take the place of real ones. */
  readonly batches?: () => Batches;
}

export interface StepContext {
  readonly recipe: Recipe;
  /** The graph before any step. */
  readonly float: Graph;
  readonly options: ApplyOptions;
  /** Sample inputs, made or given. Throws, naming the step, where there are none. */
  batches(state: RecipeState, step: string): () => Batches;
  /** The format of a site's weight: its own where it was given one, what an allocator chose, else what was asked for. */
  formatOf(state: RecipeState, site: Linear): NumberFormat | undefined;
  /** The format of a site's input: what a step chose, else what was asked for. */
  activationOf(state: RecipeState, site: Linear): NumberFormat | undefined;
}

export type StepRunner<K extends Step['step']> = (state: RecipeState, step: Extract<Step, { step: K }>, context: StepContext) => Promise<RecipeState>;
