/**
 * A training step: the engine computes loss and gradients of a graph whose parameters are inputs, an optimizer changes
 * the parameters in place. Everything a run depends on is in `state()`.
 */
import type { Engine, Feeds, Session, SessionOptions } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { roomFor } from '../engine/kernels/optimizer.ts';
import type { UpdateLoops } from '../engine/kernels/optimizer-plain.ts';
import { defineErrors } from '../errors.ts';
import { onnxBytes } from '../files/onnx.ts';
import { floatTensor, type TensorRef } from '../tensor-ref.ts';
import { int } from '../graph/build.ts';
import { lower } from '../graph/composite.ts';
import { extend } from '../graph/extend.ts';
import { gradient } from '../graph/gradient/gradient.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { promoteWeights } from '../graph/promote.ts';
import { removeDeadNodes } from '../graph/rewrite.ts';
import { usedNames } from '../graph/traverse.ts';
import { readFloats } from '../graph/values.ts';
import { composites } from './composites/index.ts';
import type { Optimizer } from './optimizers.ts';
import type { Schedule } from './schedules.ts';

/** Parameters that are trained alike. */
export interface ParameterGroup {
  /** Names of float32 weights or inputs of the graph. */
  readonly names: readonly string[];
  readonly optimizer: Optimizer;
  /** Learning rate at factor 1. */
  readonly rate: number;
  readonly schedule?: Schedule;
  /** Weight decay; default 0. */
  readonly decay?: number;
}

export interface TrainerOptions {
  readonly engine: Engine;
  /** Value of one number that is minimised. */
  readonly loss: string;
  readonly groups: readonly ParameterGroup[];
  /** Start values of parameters that are inputs of the graph rather than weights. */
  readonly initial?: ReadonlyMap<string, Tensor>;
  /** Weights that a step replaces by a computed value, such as running statistics: weight → value. */
  readonly carry?: ReadonlyMap<string, string>;
  /** Further values that each step returns. */
  readonly watch?: readonly string[];
  /** Values between which the backward pass computes activations again instead of keeping them; gradients stay the same. */
  readonly recompute?: readonly string[];
  /** Gradients are scaled so that their joint norm is at most this. */
  readonly clipNorm?: number;
  /** Keeps an exponential moving average of the parameters, with this decay. */
  readonly averageDecay?: number;
  readonly session?: SessionOptions;
}

/** Factors on the learning rates of some parameters, found when their gradients are known. */
export type RateFactors = (gradientOf: (parameter: string) => Float32Array) => ReadonlyMap<string, number>;

export interface StepResult {
  readonly loss: number;
  /** Joint norm of the gradients before clipping. */
  readonly gradientNorm: number;
  readonly watched: Readonly<Record<string, Tensor>>;
}

interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
  readonly group: ParameterGroup;
  readonly state: readonly Float32Array[];
  readonly average: Float32Array | undefined;
  /** Value of its gradient; parameters that are added to each other share one. */
  readonly gradient: string;
}

const errors = defineErrors('train', {
  noParameter: (f: { name: string }) => `no float32 weight or input with start values is named ${f.name}`,
  twice: (f: { name: string }) => `parameter ${f.name} is in two groups`,
  notFinite: (f: { step: number; loss: number }) => [`step ${f.step}: the loss is ${f.loss}`, 'lower the learning rate, or clip gradients'],
  state: (f: { name: string }) => `the checkpoint has no ${f.name} of the right size`,
});

export class Trainer {
  #session: Session;
  #graph: Graph;
  #options: TrainerOptions;
  #parameters: readonly Parameter[];
  #carried: Map<string, Tensor>;
  #fetches: readonly string[];
  #norm: string;
  /** Sums of gradients by their values in the step graph; the engine writes the first of each sum there. */
  #sums: ReadonlyMap<string, Tensor>;
  #loops: UpdateLoops;
  #step = 0;
  #pending = 0;

  private constructor(
    session: Session, graph: Graph, options: TrainerOptions, parameters: readonly Parameter[], carried: Map<string, Tensor>, norm: string,
    sums: ReadonlyMap<string, Tensor>, loops: UpdateLoops,
  ) {
    this.#norm = norm;
    this.#sums = sums;
    this.#loops = loops;
    this.#session = session;
    this.#graph = graph;
    this.#options = options;
    this.#parameters = parameters;
    this.#carried = carried;
    this.#fetches = [...new Set([options.loss, norm, ...parameters.map((p) => p.gradient), ...(options.carry?.values() ?? []), ...(options.watch ?? [])])];
  }

  /** Differentiates the graph and opens it. Shapes must be known: bind symbolic dimensions first. */
  static async open(graph: Graph, options: TrainerOptions): Promise<Trainer> {
    const names = options.groups.flatMap((group) => group.names);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) throw errors.twice({ name: twice });
    const { graph: whole, gradients } = await gradient(graph, options.loss, names, { composites, ...(options.recompute === undefined ? {} : { recompute: options.recompute }) });
    const starts: { readonly name: string; readonly group: ParameterGroup; readonly shape: readonly number[]; readonly values: Float32Array }[] = [];
    for (const group of options.groups) for (const name of group.names) starts.push({ name, group, ...await startOf(name, graph, options) });
    const arraysOf = ({ optimizer }: ParameterGroup): number => 2 + optimizer.slots + (options.averageDecay === undefined ? 0 : 1);
    const room = roomFor(starts.flatMap(({ group, values }) => Array.from({ length: arraysOf(group) }, () => values.length)));
    const copied = (values: Float32Array): Float32Array => {
      const made = room.array(values.length);
      made.set(values);
      return made;
    };
    const parameters: Parameter[] = [];
    const sums = new Map<string, Tensor>();
    for (const { name, group, shape, values } of starts) {
      const sum = gradients.get(name)!;
      parameters.push({
        name, shape, group, gradient: sum, values: copied(values),
        state: Array.from({ length: group.optimizer.slots }, () => room.array(values.length)),
        average: options.averageDecay === undefined ? undefined : copied(values),
      });
      if (!sums.has(sum)) sums.set(sum, { type: 'f32', shape, data: room.array(values.length) });
    }
    const carried = new Map<string, Tensor>();
    for (const name of options.carry?.keys() ?? []) {
      const { shape, values } = await startOf(name, graph, options);
      carried.set(name, { type: 'f32', shape, data: values });
    }
    // The engine sums squares several lanes at a time.
    const { graph: measured, result: norm } = extend(whole, (tape) => {
      const squares = [...gradients.values()].map((name) => tape.op('ReduceSumSquare', [name], { keepdims: int(0) }));
      return tape.op('Sqrt', [squares.length === 1 ? squares[0] : tape.op('Sum', squares)]);
    });
    const step = await stepGraph(measured, [...parameters.map(({ name }) => name), ...carried.keys()], [options.loss, norm, ...gradients.values(), ...(options.carry?.values() ?? []), ...(options.watch ?? [])]);
    const session = await options.engine.open({ bytes: await onnxBytes(step) }, options.session ?? {});
    return new Trainer(session, graph, options, parameters, carried, norm, sums, room.loops);
  }

  /** Steps taken. */
  get steps(): number { return this.#step; }

  /** What a step is fed with: the batch, parameters and carried values. */
  #given(feeds: Feeds): Feeds {
    const given: Record<string, Tensor> = { ...feeds };
    for (const { name, shape, values } of this.#parameters) given[name] = { type: 'f32', shape, data: values };
    for (const [name, tensor] of this.#carried) given[name] = tensor;
    return given;
  }

  #sum(parameter: Parameter): Float32Array { return this.#sums.get(parameter.gradient)!.data as Float32Array; }

  /** Adds the gradients of one batch; `update` divides by the number of batches and applies them. */
  async accumulate(feeds: Feeds): Promise<StepResult> {
    const { loss: value, watch = [], carry = new Map<string, string>() } = this.#options;
    const returned = new Set([...watch, ...carry.values()]);
    const into = this.#pending > 0 ? {} : Object.fromEntries([...this.#sums].filter(([name]) => !returned.has(name)));
    const results = await this.#session.run(this.#given(feeds), this.#fetches, into);
    const [loss] = results[value].data as Float32Array;
    if (!Number.isFinite(loss)) throw errors.notFinite({ step: this.#step + 1, loss });
    for (const [name, { data }] of this.#sums) {
      const sum = data as Float32Array;
      const fresh = results[name].data as Float32Array;
      if (this.#pending > 0) this.#loops.mix(sum, fresh, 1, 1);
      else if (fresh !== sum) sum.set(fresh);
    }
    for (const [name, computed] of carry) this.#carried.set(name, results[computed]);
    this.#pending++;
    return { loss, gradientNorm: (results[this.#norm].data as Float32Array)[0], watched: Object.fromEntries(watch.map((name) => [name, results[name]])) };
  }

  /** Applies what was accumulated. */
  update(factorsOf?: RateFactors): void {
    const { clipNorm, averageDecay } = this.#options;
    const loops = this.#loops;
    let factor = 1 / this.#pending;
    if (clipNorm !== undefined) {
      const square = this.#parameters.reduce((sum, parameter) => sum + loops.squares(this.#sum(parameter)), 0);
      factor *= Math.min(1, clipNorm / (factor * Math.sqrt(square) + 1e-6));
    }
    if (factor !== 1) for (const { data } of this.#sums.values()) loops.scale(data as Float32Array, factor);
    const factors = factorsOf?.((name) => this.#sum(this.#parameters.find((parameter) => parameter.name === name)!));
    const step = ++this.#step;
    for (const parameter of this.#parameters) {
      const { name, group, values, state, average } = parameter;
      const rate = group.rate * (group.schedule?.(step - 1) ?? 1) * (factors?.get(name) ?? 1);
      group.optimizer.update(values, this.#sum(parameter), state, { rate, decay: group.decay ?? 0, step }, loops);
      if (average !== undefined) loops.mix(average, values, averageDecay!, 1 - averageDecay!);
    }
    this.#pending = 0;
  }

  /** One batch, one update. */
  async step(feeds: Feeds, factorsOf?: RateFactors): Promise<StepResult> {
    const result = await this.accumulate(feeds);
    this.update(factorsOf);
    return result;
  }

  /** The loss of a batch, with nothing learned from it. */
  async evaluate(feeds: Feeds): Promise<number> {
    const results = await this.#session.run(this.#given(feeds), [this.#options.loss]);
    return (results[this.#options.loss].data as Float32Array)[0];
  }

  /** Current values of a parameter; the trainer goes on changing them. */
  values(name: string): Float32Array {
    const found = this.#parameters.find((parameter) => parameter.name === name);
    if (found !== undefined) return found.values;
    const carried = this.#carried.get(name);
    if (carried === undefined) throw errors.noParameter({ name });
    return carried.data as Float32Array;
  }

  /** The graph given to `open` with the trained weights in their places; `average` takes the moving averages. */
  graph({ average = false }: { readonly average?: boolean } = {}): Graph {
    const weights = new Map<string, TensorRef>(this.#graph.weights);
    for (const parameter of this.#parameters) {
      if (weights.has(parameter.name)) weights.set(parameter.name, floatTensor(parameter.name, parameter.shape, (average && parameter.average ? parameter.average : parameter.values).slice()));
    }
    for (const [name, { shape, data }] of this.#carried) weights.set(name, floatTensor(name, shape, (data as Float32Array).slice()));
    return { ...this.#graph, weights };
  }

  /** Everything that the next step depends on, copied: parameters, optimizer state, averages, carried values and the step. */
  state(): Map<string, Tensor> {
    const state = new Map<string, Tensor>([['step', { type: 'f64', shape: [1], data: Float64Array.of(this.#step) }]]);
    const put = (key: string, shape: readonly number[], values: Float32Array) => state.set(key, { type: 'f32', shape, data: values.slice() });
    for (const { name, shape, values, state: slots, average } of this.#parameters) {
      put(`parameter/${name}`, shape, values);
      slots.forEach((slot, i) => put(`slot${i}/${name}`, shape, slot));
      if (average !== undefined) put(`average/${name}`, shape, average);
    }
    for (const [name, { shape, data }] of this.#carried) put(`carried/${name}`, shape, data as Float32Array);
    return state;
  }

  /** Goes on from a state that the same kind of trainer gave. */
  restore(state: ReadonlyMap<string, Tensor>): void {
    const take = (key: string, into: Float32Array) => {
      const found = state.get(key);
      if (found?.type !== 'f32' || found.data.length !== into.length) throw errors.state({ name: key });
      into.set(found.data as Float32Array);
    };
    const step = state.get('step');
    if (step === undefined) throw errors.state({ name: 'step' });
    for (const { name, values, state: slots, average } of this.#parameters) {
      take(`parameter/${name}`, values);
      slots.forEach((slot, i) => take(`slot${i}/${name}`, slot));
      if (average !== undefined) take(`average/${name}`, average);
    }
    for (const [name, tensor] of this.#carried) {
      const data = new Float32Array(tensor.data.length);
      take(`carried/${name}`, data);
      this.#carried.set(name, { ...tensor, data });
    }
    this.#step = Number(step.data[0]);
  }

  dispose(): Promise<void> { return this.#session.dispose(); }
}

/** What the engine runs: parameters as inputs, the wanted values as outputs, composites expanded. */
async function stepGraph(graph: Graph, parameters: readonly string[], wanted: readonly string[]): Promise<Graph> {
  const open = promoteWeights({ ...graph, outputs: [] }, parameters);
  return withoutUnusedInputs(removeDeadNodes(lower(await withOutputs(open, wanted), composites)));
}

async function startOf(name: string, graph: Graph, options: TrainerOptions): Promise<{ readonly shape: readonly number[]; readonly values: Float32Array }> {
  const weight = graph.weights.get(name);
  if (weight?.type === 'f32') return { shape: weight.shape, values: (await readFloats(weight)).slice() };
  const given = options.initial?.get(name);
  if (given?.type !== 'f32') throw errors.noParameter({ name });
  return { shape: given.shape, values: (given.data as Float32Array).slice() };
}

/** Inputs that nothing reads need not be fed. */
function withoutUnusedInputs(graph: Graph): Graph {
  const used = new Set(graph.outputs.map(({ name }) => name));
  for (const node of graph.nodes) for (const name of usedNames(node)) used.add(name);
  return { ...graph, inputs: graph.inputs.filter(({ name }) => used.has(name)) };
}
