/**
 * Runs a network in QDQ form on kernels. The first run with inputs of some shapes lays values into memory, where those that are
 * no longer read make room for others, and keeps what it calls; later ones call the same again.
 */
import { bindToShapes } from '../../graph/bind.ts';
import { sizeOf, type Value64 } from '../interpreter/value.ts';
import type { Team } from '../kernels/lowbit-team.ts';
import { fastestQdqBuild, qdqKernels, type QdqBuild, type QdqKernels } from '../kernels/qdq.ts';
import { sharedQdq } from '../kernels/qdq-team.ts';
import { boardBytes } from '../kernels/team.ts';
import type { Feeds } from '../session.ts';
import { f32, i64, type Tensor } from '../tensor.ts';
import { checkSize, errors } from './geometry.ts';
import { stale, type Bench, type Step } from './bench.ts';
import { Arena, lies, type Block, type Held, type Moved, type Stored } from './memory.ts';
import { readsOf, type QdqNetwork } from './network.ts';
import { fedValue } from './plain.ts';
import { layProducts, type LaidProducts } from './products.ts';
import { prepare } from './prepare.ts';

export interface QdqOptions {
  readonly build?: QdqBuild;
  /** Threads that share the products; without one, all is done by the caller's. */
  readonly team?: Team;
  /** Steps of a product below which it is not shared. */
  readonly worthSharing?: number;
}

export class QdqRunner {
  readonly network: QdqNetwork;
  readonly build: QdqBuild;
  readonly #arena: Arena;
  #kernels: QdqKernels;
  #stop: (() => void) | undefined;
  readonly #products: ReadonlyMap<object, LaidProducts>;
  #feeds: Feeds = {};
  #values = new Map<string, Stored | Moved | Held>();
  #steps: Step[] = [];
  /** Shapes that the steps are for. */
  #key = '';
  /** Bytes at the end of memory within a step. */
  #taken: Block[] = [];
  /** One run after the other. */
  #last: Promise<unknown> = Promise.resolve();

  static async open(network: QdqNetwork, { build = fastestQdqBuild(), team, worthSharing }: QdqOptions = {}): Promise<QdqRunner> {
    const arena = new Arena(team !== undefined);
    const board = team === undefined ? 0 : arena.keep(new Uint8Array(boardBytes));
    const runner = new QdqRunner(network, build, arena);
    if (team !== undefined) {
      const { share, stop } = await team.start(arena.memory, board, team.members, ['qdq']);
      runner.#kernels = sharedQdq(arena.memory, build, share, worthSharing);
      runner.#stop = stop;
    }
    return runner;
  }

  private constructor(network: QdqNetwork, build: QdqBuild, arena: Arena) {
    this.network = network;
    this.build = build;
    this.#arena = arena;
    this.#kernels = qdqKernels(this.#arena.memory, build);
    this.#products = layProducts(network, this.#arena, build);
    this.#arena.settle();
  }

  /** Bytes of weights, activations and what was worked out for them. */
  get bytes(): number {
    return this.#arena.bytes;
  }

  run(feeds: Feeds): Promise<Record<string, Tensor>> {
    const result = this.#last.then(() => this.#run(feeds));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Ends the threads, if there are any; the runner is done with. */
  dispose(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  async #run(feeds: Feeds): Promise<Record<string, Tensor>> {
    this.#feeds = feeds;
    for (const { name, type, shape } of this.network.source.inputs) {
      if (this.network.source.weights.has(name)) continue;
      const fed = feeds[name];
      if (fed === undefined) throw errors.fed({ name, why: 'it was not fed' });
      if (type !== undefined && fed.type !== type) throw errors.fed({ name, why: `it is ${type}, fed as ${fed.type}` });
      if (shape !== undefined && (shape.length !== fed.shape.length || shape.some((dim, i) => typeof dim === 'number' && dim !== fed.shape[i]))) {
        throw errors.fed({ name, why: `its shape is [${shape.map((dim) => dim ?? '?').join(', ')}], fed as [${fed.shape.join(', ')}]` });
      }
      checkSize(name, fed.shape);
      if (fed.data.length !== sizeOf(fed.shape)) throw errors.fed({ name, why: `${fed.data.length} values for a shape [${fed.shape.join(', ')}]` });
    }
    const key = JSON.stringify(Object.entries(feeds).map(([name, { type, shape }]) => [name, type, shape]));
    if (key === this.#key && await this.#again()) return this.#results();
    this.#key = '';
    await this.#record();
    this.#key = key;
    return this.#results();
  }

  /** The same steps; false where they were for something else. */
  async #again(): Promise<boolean> {
    try {
      for (const step of this.#steps) {
        const waiting = step();
        if (waiting !== undefined) await waiting;
      }
      return true;
    } catch (error) {
      if (error === stale) return false;
      throw error;
    }
  }

  async #record(): Promise<void> {
    const { source, ops, constants, lastUse } = this.network;
    const bound = await bindToShapes(source, new Map(Object.entries(this.#feeds).map(([name, { shape }]) => [name, shape])));
    for (const { name, shape } of [...bound.values.values(), ...bound.outputs]) if (shape?.every((dim) => typeof dim === 'number') === true) checkSize(name, shape as number[]);
    this.#arena.reset();
    this.#values = new Map([...constants].map(([name, value]): [string, Held] => [name, { kind: 'held', value }]));
    this.#steps = [];
    const pending: Step[] = [];
    const bench = this.#bench(pending);
    const carryOut = async (): Promise<void> => {
      for (const step of pending.splice(0)) {
        this.#steps.push(step);
        await step();
      }
      for (const block of this.#taken.splice(0)) this.#arena.give(block);
    };
    for (const { name } of source.inputs) {
      if (this.#feeds[name] === undefined || !lastUse.has(name)) continue;
      this.#feed(name, bench);
      await carryOut();
    }
    const released = new Set<string>();
    for (const [i, one] of ops.entries()) {
      const made = await prepare(one, bench);
      await carryOut();
      for (const name of [...readsOf(one), ...made]) {
        if (name === '' || released.has(name) || (lastUse.get(name) ?? -1) > i) continue;
        released.add(name);
        const value = this.#values.get(name);
        if (value !== undefined && value.kind !== 'held') this.#arena.give(value.kind === 'moved' ? value.of.block : value.block);
      }
    }
    for (const { name } of source.outputs) if (bench.kind(name) !== 'held') bench.stored(name);
    await carryOut();
  }

  #feed(name: string, bench: Bench): void {
    const { type, shape } = this.#feeds[name];
    if (type !== 'f32') {
      const held = bench.hold(name, fedValue(name, this.#feeds[name]));
      bench.onRun(() => { held.value = fedValue(name, this.#feeds[name]); });
      return;
    }
    const { block: { at } } = bench.make(name, 'floats', shape);
    const [images, channels = 1, ...spatial] = shape;
    const plane = sizeOf(spatial);
    const turned = shape.length > 2 && channels > 1 && plane > 1;
    const given = turned ? bench.scratch(4 * sizeOf(shape)) : at;
    bench.onRun(() => { this.#arena.floatsAt(given, sizeOf(shape)).set(this.#feeds[name].data as Float32Array); });
    if (!turned) return;
    for (let image = 0; image < images; image++) {
      const from = 4 * image * channels * plane;
      bench.onRun(() => this.#kernels.turn(given + from, channels, plane, 0, at + from));
    }
  }

  #bench(pending: Step[]): Bench {
    const arena = this.#arena;
    const values = this.#values;
    const bench: Bench = {
      kernels: this.#kernels, build: this.build, arena, network: this.network, products: this.#products,
      stored: (name) => {
        const value = values.get(name);
        if (value?.kind === 'moved') return this.#laid(name, value, bench);
        if (value?.kind === 'held') return this.#written(name, value, bench);
        if (value === undefined) throw errors.fed({ name, why: 'nothing makes it' });
        return value;
      },
      floats: (name) => { if (values.get(name)?.kind === 'held') bench.stored(name); },
      reading: (name) => {
        // Later operators may lay it elsewhere.
        const value = values.get(name);
        return () => valueOf(value, arena);
      },
      kind: (name) => {
        const value = values.get(name);
        return value === undefined ? 'held' : value.kind === 'moved' ? value.of.kind : value.kind;
      },
      shapeOf: (name) => {
        const value = values.get(name);
        if (value === undefined) throw errors.fed({ name, why: 'nothing makes it' });
        return value.kind === 'held' ? value.value.shape : value.shape;
      },
      make: (name, kind, shape) => {
        checkSize(name, shape);
        const stored: Stored = { kind, shape, block: arena.take(sizeOf(shape) * (kind === 'codes' ? 1 : 4)) };
        values.set(name, stored);
        return stored;
      },
      move: (name, from, shape, places, fill) => {
        const source = values.get(from) as Stored | Moved;
        const of = source.kind === 'moved' ? source.of : source;
        of.block.holders++;
        // A move of what was moved is one move.
        values.set(name, { kind: 'moved', shape, of, fill, from: source.kind === 'moved' ? places.map((at) => (at < 0 ? at : source.from[at])) : places });
      },
      hold: (name, value) => {
        const held: Held = { kind: 'held', value };
        values.set(name, held);
        return held;
      },
      scratch: (bytes) => {
        const block = arena.take(bytes);
        this.#taken.push(block);
        return block.at;
      },
      keep: (bytes) => arena.keep(bytes),
      onRun: (step) => { pending.push(step); },
    };
    return bench;
  }

  /** Gathers what was moved; elements that lie as they lay stay there. */
  #laid(name: string, { shape, of, from, fill }: Moved, bench: Bench): Stored {
    const [before, behind] = [lies(of.shape), lies(shape)];
    const count = from.length;
    const map = new Int32Array(count);
    for (let i = 0; i < count; i++) map[behind(i)] = from[i] < 0 ? -1 : before(from[i]);
    if (count === sizeOf(of.shape) && map.every((at, i) => at === i)) {
      const stored: Stored = { ...of, shape };
      this.#values.set(name, stored);
      return stored;
    }
    const stored = bench.make(name, of.kind, shape);
    const places = bench.keep(new Uint8Array(map.buffer));
    const bytes = of.kind === 'codes' ? 1 : 0;
    bench.onRun(() => this.#kernels.gather(of.block.at, places, count, bytes, fill, stored.block.at));
    // Its place is free when the step is done.
    this.#taken.push(of.block);
    return stored;
  }

  /** Floats of the interpreter, laid into memory in every run. */
  #written(name: string, held: Held, bench: Bench): Stored {
    const { type, shape } = held.value;
    if (type !== 'f32') throw errors.fed({ name, why: `${type} is not computed with here` });
    const stored = bench.make(name, 'floats', shape);
    const place = lies(shape);
    bench.onRun(() => {
      const floats = this.#arena.floatsAt(stored.block.at, held.value.data.length);
      held.value.data.forEach((x, i) => { floats[place(i)] = x; });
    });
    return stored;
  }

  #results(): Record<string, Tensor> {
    return Object.fromEntries(this.network.source.outputs.map(({ name }): [string, Tensor] => {
      const { type, shape, data } = valueOf(this.#values.get(name), this.#arena);
      if (type === 'f32') return [name, f32(shape, Float32Array.from(data))];
      if (type === 'i64') return [name, i64(shape, data)];
      throw errors.fed({ name, why: `outputs of ${type} are not given here` });
    }));
  }
}

/** A value as the interpreter holds it, in row-major order; codes as they are. */
function valueOf(value: Stored | Moved | Held | undefined, arena: Arena): Value64 {
  if (value?.kind === 'held') return value.value;
  if (value === undefined) throw errors.fed({ name: 'a value', why: 'nothing makes it' });
  const of = value.kind === 'moved' ? value.of : value;
  const count = sizeOf(of.shape);
  const elements = of.kind === 'codes' ? arena.bytesAt(of.block.at, count) : arena.floatsAt(of.block.at, count);
  const place = lies(of.shape);
  const data = value.kind === 'moved'
    ? Float64Array.from(value.from, (at) => (at < 0 ? value.fill : elements[place(at)]))
    : Float64Array.from({ length: count }, (_, i) => elements[place(i)]);
  return { type: of.kind === 'codes' ? 'u8' : 'f32', shape: value.shape, data };
}
