/**
 * Rotations around a Mamba-2 scan, computed as the network runs (MambaQuant's R3 and R4, arXiv:2501.13484, section 4.2).
 * All channels of a head decay alike, so a rotation of x within each head passes through the scan and is taken back from
 * y; B and C turn together along the state. Smoothing before them is exact in the same way.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { freshNames, makeNode, redirectUses, renameValues } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { floatTensor } from '../tensor-ref.ts';
import type { Magnitudes } from '../observe/magnitudes.ts';
import { mambaBlocks, mambaValue, type MambaValue } from './mamba-blocks.ts';
import { TurnWriter, type Rotated } from './rotate.ts';
import { hadamardRotation, type Rotation } from './rotation.ts';

/** Factors below this would make noise of what is nearly zero. */
const smallest = 1e-2;

/** Rotates x, B and C of every block; with magnitudes their channels are first brought to one size, C taking what B gives away. */
export function rotateScans(graph: Graph, magnitudes?: ReadonlyMap<string, Magnitudes>): Pick<Rotated, 'graph' | 'kept'> {
  const writer = new TurnWriter(graph);
  const fresh = freshNames(graph);
  const nodes: Node[] = [];
  const weights = new Map(graph.weights);
  const aside = new Map<string, string>();
  const turned = new Map<string, string>();
  const scaled = (value: string, factors: Float32Array | undefined, to?: string): string => {
    if (factors === undefined) return value;
    const [name, output] = [fresh(`${value}_factors`), to ?? fresh(`${value}_smoothed`)];
    weights.set(name, floatTensor(name, [factors.length], factors));
    nodes.push(makeNode('Mul', [value, name], [output], { name: output }));
    return output;
  };
  const rotations = new Map<string, Rotation>();
  const rotation = (width: number, run: number): Rotation => {
    const key = `${width} ${run}`;
    const made = rotations.get(key) ?? { ...hadamardRotation(run), width };
    rotations.set(key, made);
    return made;
  };
  for (const block of mambaBlocks(graph)) {
    const { inner, headDim, groups, stateSize } = block;
    const value = (name: MambaValue): string => mambaValue(block, name);
    const before = (name: MambaValue): string => {
      aside.set(value(name), fresh(`${value(name)}_plain`));
      return aside.get(value(name))!;
    };
    const sizes = (name: MambaValue): Float32Array | undefined => magnitudes?.get(value(name))?.max;
    const channels = sizes('x')?.map((size) => Math.max(size, smallest));
    const [b, c] = [sizes('B'), sizes('C')];
    const states = b === undefined || c === undefined ? undefined : b.map((size, i) => Math.sqrt(Math.max(size, smallest) / Math.max(c[i], smallest)));
    const inverse = (factors: Float32Array | undefined): Float32Array | undefined => factors?.map((factor) => 1 / factor);
    const states4 = rotation(groups * stateSize, stateSize);
    const heads = rotation(inner, headDim);
    for (const [name, by, factors] of [['x', heads, inverse(channels)], ['B', states4, inverse(states)], ['C', states4, states]] as const) {
      const plain = before(name);
      turned.set(plain, writer.turn(scaled(plain, factors), by, { to: fresh(`${value(name)}_turned`) }));
    }
    // What the scan gives is taken back before anything else sees it.
    const given = before('y');
    turned.set(given, scaled(writer.turn(given, heads, { back: true }), channels));
  }
  // Old names stand aside, the readers take the new values, and those take the names.
  const set = renameValues(graph, aside);
  const redirected = redirectUses({ ...set, weights: new Map([...set.weights, ...weights]) }, turned);
  const written = writer.into({ ...redirected, nodes: [...redirected.nodes, ...nodes] });
  const back = new Map([...aside].map(([name, plain]) => [turned.get(plain)!, name]));
  const next = renameValues(written, back);
  return { graph: { ...next, nodes: sortNodes(next) }, kept: writer.kept };
}
