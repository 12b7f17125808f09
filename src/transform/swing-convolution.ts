/**
 * Swing convolutions (Genie, arXiv:2212.04780, section 3.2): the input of a strided convolution is mirrored outwards by one
 * pixel and cropped back at a random offset, so that over many draws every pixel is seen. Mirroring and cropping are one
 * lookup of rows and one of columns, whose positions are inputs of the graph. For making data only: what a network computes
 * changes.
 */
import type { Feeds } from '../engine/session.ts';
import { i64 } from '../engine/tensor.ts';
import { int } from '../graph/build.ts';
import type { Graph, Node, ValueInfo } from '../graph/graph.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { viewOf } from '../graph/traverse.ts';
import { randomInteger } from '../numeric/random.ts';

export interface Swinging {
  readonly graph: Graph;
  /** Positions for one run: one draw per convolution, shared by the batch. */
  offsets(seed: number, step: number): Feeds;
}

/** Pixels that are added on each side. */
const margin = 1;
const stream = 0x737767;

/** Every two-dimensional convolution with a stride reads rows and columns that are fed. Shapes must be known. */
export function swingConvolutions(graph: Graph): Swinging {
  const view = viewOf(graph);
  const fresh = freshNames(graph);
  const inputs: ValueInfo[] = [];
  const axes: { readonly name: string; readonly size: number }[] = [];
  const nodes = graph.nodes.flatMap((node): Node[] => {
    const strides = node.attributes.strides;
    const strided = strides?.kind === 'ints' && strides.value.some((stride) => stride !== 1);
    const sizes = view.info(node.inputs[0])?.shape?.slice(2) as readonly number[] | undefined;
    // A row cannot be mirrored at the end of a single one.
    if (node.op !== 'Conv' || node.domain !== '' || !strided || sizes?.length !== 2 || !sizes.every((size) => size > margin)) return [node];
    let [value] = node.inputs;
    const moved: Node[] = sizes.map((size, i) => {
      const positions = fresh(`${node.inputs[0]}/swing`);
      inputs.push({ name: positions, type: 'i64', shape: [size] });
      axes.push({ name: positions, size });
      const from = value;
      value = fresh(`${node.inputs[0]}/swung`);
      return makeNode('Gather', [from, positions], [value], { attributes: { axis: int(2 + i) } });
    });
    return [...moved, { ...node, inputs: [value, ...node.inputs.slice(1)] }];
  });
  return {
    graph: { ...graph, nodes, inputs: [...graph.inputs, ...inputs] },
    offsets: (seed, step) => Object.fromEntries(axes.map(({ name, size }, i) => {
      const offset = randomInteger(seed, stream, step * axes.length + i, 2 * margin + 1);
      return [name, i64([size], Array.from({ length: size }, (_, at) => mirrored(at + offset - margin, size)))];
    })),
  };
}

/** Position of a pixel that lies up to one edge outside of `size` pixels. */
const mirrored = (at: number, size: number): number => (at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at);
