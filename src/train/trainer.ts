/**
 * A training step: the engine computes loss and gradients of a graph whose parameters are inputs, an optimizer changes
 * the parameters in place. Everything a run depends on is in `state()`.
 */
import type { Engine, Feeds, Session, SessionOptions } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
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
  readonly gradient: string;
  sum: Float32Array | undefined;
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
  #step = 0;
  #pending = 0;

  private constructor(session: Session, graph: Graph, options: TrainerOptions, parameters: readonly Parameter[], carried: Map<string, Tensor>, norm: string) {
    this.#norm = norm;
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
    const parameters: Parameter[] = [];
    for (const group of options.groups) {
      for (const name of group.names) {
        const { shape, values } = await startOf(name, graph, options);
        parameters.push({
          name, shape, values, group, gradient: gradients.get(name)!, sum: undefined,
          state: Array.from({ length: group.optimizer.slots }, () => new Float32Array(values.length)),
          average: options.averageDecay === undefined ? undefined : values.slice(),
        });
      }
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
    return new Trainer(session, graph, options, parameters, carried, norm);
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

  /** Adds the gradients of one batch; `update` divides by the number of batches and applies them. */
  async accumulate(feeds: Feeds): Promise<StepResult> {
    const results = await this.#session.run(this.#given(feeds), this.#fetches);
    const [loss] = results[this.#options.loss].data as Float32Array;
    if (!Number.isFinite(loss)) throw errors.notFinite({ step: this.#step + 1, loss });
    for (const parameter of this.#parameters) {
      const fresh = results[parameter.gradient].data as Float32Array;
      if (this.#pending === 0) parameter.sum = fresh;
      else for (let i = 0; i < fresh.length; i++) parameter.sum![i] += fresh[i];
    }
    for (const [name, value] of this.#options.carry ?? []) this.#carried.set(name, results[value]);
    this.#pending++;
    return { loss, gradientNorm: (results[this.#norm].data as Float32Array)[0], watched: Object.fromEntries((this.#options.watch ?? []).map((name) => [name, results[name]])) };
  }

  /** Applies what was accumulated. */
  update(factorsOf?: RateFactors): void {
    const { clipNorm, averageDecay } = this.#options;
    let factor = 1 / this.#pending;
    if (clipNorm !== undefined) {
      let square = 0;
      for (const { sum } of this.#parameters) square += squares(sum!);
      factor *= Math.min(1, clipNorm / (factor * Math.sqrt(square) + 1e-6));
    }
    if (factor !== 1) for (const { sum } of this.#parameters) for (let i = 0; i < sum!.length; i++) sum![i] *= factor;
    const factors = factorsOf?.((name) => this.#parameters.find((parameter) => parameter.name === name)!.sum!);
    const step = ++this.#step;
    for (const parameter of this.#parameters) {
      const { name, group, values, state, average } = parameter;
      const sum = parameter.sum!;
      const rate = group.rate * (group.schedule?.(step - 1) ?? 1) * (factors?.get(name) ?? 1);
      group.optimizer.update(values, sum, state, { rate, decay: group.decay ?? 0, step });
      if (average !== undefined) for (let i = 0; i < values.length; i++) average[i] = averageDecay! * average[i] + (1 - averageDecay!) * values[i];
      parameter.sum = undefined;
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

/** Σ value² in four chains of additions, which a processor runs side by side. */
function squares(values: Float32Array): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = values.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    a += values[i] * values[i];
    b += values[i + 1] * values[i + 1];
    c += values[i + 2] * values[i + 2];
    d += values[i + 3] * values[i + 3];
  }
  for (let i = whole; i < values.length; i++) a += values[i] * values[i];
  return a + b + (c + d);
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
