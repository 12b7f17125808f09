/**
 * Rotations around a Mamba-2 scan, computed as the network runs (MambaQuant's R3 and R4, arXiv:2501.13484, section 4.2).
 * All channels of a head of Mamba-2 decay alike, so a rotation of x within each head passes through the scan and is taken
 * back from y; B and C turn together along the state. In Mamba-1 every state index decays at its own pace, and only the
 * readout can turn: states and C. Smoothing before them is exact in the same way.
 */
import type { Graph } from '../graph/graph.ts';
import type { Tape } from '../graph/gradient/tape.ts';
import { floatTensor } from '../tensor-ref.ts';
import type { Magnitudes } from '../observe/magnitudes.ts';
import { follow, interpose, type Interposed } from './interpose.ts';
import { mambaBlocks, mambaValue, type Mamba1Block, type MambaBlock, type MambaValue } from './mamba-blocks.ts';
import type { Rotated } from './rotate.ts';
import { hadamardRotation, type Rotation } from './rotation.ts';

/** Factors below this would make noise of what is nearly zero. */
const smallest = 1e-2;

/** Rotates x, B and C, or states and C, of every block; with magnitudes channels are first brought to one size, C taking what the other gives away. */
export function rotateScans(graph: Graph, magnitudes?: ReadonlyMap<string, Magnitudes>): Pick<Rotated, 'graph' | 'kept'> {
  const changes = new Map(mambaBlocks(graph).flatMap((block) => [...changesOf(block, magnitudes)]));
  const matrices = new Map<string, string>();
  const turned = (tape: Tape, value: string, { order, matrix }: Rotation): string => {
    const key = `${order}`;
    const name = matrices.get(key) ?? tape.weight(floatTensor('rotation', [order, order], matrix));
    matrices.set(key, name);
    return tape.op('Reshape', [tape.op('MatMul', [tape.op('Reshape', [value, tape.ints([-1, order])]), name]), tape.op('Shape', [value])]);
  };
  const writer = (value: string, { rotation, before, after }: Change): Interposed => (tape, plain) => {
    const scaled = (x: string, factors: Float32Array | undefined): string => (factors === undefined ? x : tape.op('Mul', [x, tape.weight(floatTensor(`${value}_factors`, [factors.length], factors))]));
    return scaled(turned(tape, scaled(plain, before), rotation), after);
  };
  const outputs = new Set(mambaBlocks(graph).map((block) => mambaValue(block, 'y')));
  const writers = (behind: boolean) => new Map([...changes].filter(([value]) => outputs.has(value) === behind).map(([value, change]) => [value, writer(value, change)]));
  // What stands around the scan already stays outside: last before it, first behind it.
  const entered = interpose(graph, writers(false));
  return { graph: follow(entered, writers(true)), kept: new Set(matrices.values()) };
}

/** Factors, a rotation that is its own inverse, factors. */
interface Change { readonly rotation: Rotation; readonly before?: Float32Array | undefined; readonly after?: Float32Array | undefined }

function changesOf(block: MambaBlock, magnitudes: ReadonlyMap<string, Magnitudes> | undefined): Map<string, Change> {
  const sizes = (name: MambaValue): Float32Array | undefined => magnitudes?.get(mambaValue(block, name))?.max.map((size) => Math.max(size, smallest));
  const state = hadamardRotation(block.stateSize);
  if (block.kind === 'mamba') return readoutChanges(block, state, sizes('state'), sizes('C'));
  const [channels, b, c] = [sizes('x'), sizes('B'), sizes('C')];
  const states = b === undefined || c === undefined ? undefined : b.map((size, i) => Math.sqrt(size / c[i]));
  const inverse = (factors: Float32Array | undefined): Float32Array | undefined => factors?.map((factor) => 1 / factor);
  const heads = hadamardRotation(block.headDim);
  const changes: readonly (readonly [MambaValue, Change])[] = [
    ['x', { before: inverse(channels), rotation: heads }], ['y', { rotation: heads, after: channels }],
    ['B', { before: inverse(states), rotation: state }], ['C', { before: states, rotation: state }],
  ];
  return new Map(changes.map(([name, change]) => [mambaValue(block, name), change]));
}

function readoutChanges(block: Mamba1Block, rotation: Rotation, states: Float32Array | undefined, c: Float32Array | undefined): Map<string, Change> {
  const { stateSize } = block;
  // The largest of all channels, by state index.
  const largest = states === undefined ? undefined : Float32Array.from({ length: stateSize }, (_, n) => {
    let max = 0;
    for (let i = n; i < states.length; i += stateSize) max = Math.max(max, states[i]);
    return max;
  });
  const factors = largest === undefined || c === undefined ? undefined : largest.map((size, n) => Math.sqrt(size / c[n]));
  return new Map([[mambaValue(block, 'state'), { before: factors?.map((factor) => 1 / factor), rotation }], [mambaValue(block, 'C'), { before: factors, rotation }]]);
}
