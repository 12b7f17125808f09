/**
 * Rotations in the graph, computed as the network runs: a product with an orthogonal matrix before the layers that read
 * a value, its inverse in their weights.
 */
import { defineErrors } from '../errors.ts';
import { int64Tensor, renamed } from '../graph/build.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, withMatrix, type Linear } from '../graph/linear.ts';
import { freshNames, makeNode, type Fresh } from '../graph/rewrite.ts';
import { sortNodes, viewOf } from '../graph/traverse.ts';
import { floatTensor, type TensorRef } from '../tensor-ref.ts';
import { turnRows, type Rotation } from './rotation.ts';

const errors = defineErrors('rotate', {
  noMatrices: (_: object) => ['the network has no MatMul or Gemm with a weight of its own, which the recipe is for', 'convolutions take gptq, adaround, brecq, or hawqv3 for integers throughout'] as const,
});

export interface Rotated {
  readonly graph: Graph;
  /** Weights by id that hold rotations; they stay float. */
  readonly kept: ReadonlySet<string>;
  /** Values whose readers see them turned. */
  readonly turned: readonly string[];
}

/** Layers that can take a rotation into their columns: products whose weight is read nowhere else. */
export function turnable(graph: Graph): Linear[] {
  const view = viewOf(graph);
  return linearSites(graph).filter((site) => (site.kind === 'MatMul' || site.kind === 'Gemm') && view.consumers.get(site.id)?.length === 1 && !view.outputs.has(site.id));
}

/** Throws where no layer multiplies a matrix: what is done to inputs of products has nothing to do there. */
export function matrixLayers(graph: Graph): void {
  if (turnable(graph).length === 0) throw errors.noMatrices({});
}

/** Turns the inputs of layers; `rotationOf` is asked once per value, undefined leaves it. Other readers see the value as it was. */
export async function rotateInputs(graph: Graph, rotationOf: (site: Linear) => Rotation | undefined, sites: readonly Linear[] = turnable(graph)): Promise<Rotated> {
  const writer = new TurnWriter(graph);
  const chosen = new Map<string, Rotation | undefined>();
  const inputs = new Map<string, string>();
  let next = graph;
  for (const site of sites) {
    if (!chosen.has(site.input)) chosen.set(site.input, rotationOf(site));
    const rotation = chosen.get(site.input);
    if (rotation === undefined) continue;
    inputs.set(site.output, writer.turn(site.input, rotation));
    next = withMatrix(next, site, turnRows(await site.weightMatrix(), rotation));
  }
  const nodes = next.nodes.map((node) => (inputs.has(node.outputs[0]) ? { ...node, inputs: [inputs.get(node.outputs[0])!, ...node.inputs.slice(1)] } : node));
  return { graph: writer.into({ ...next, nodes }), kept: writer.kept, turned: [...chosen].filter(([, rotation]) => rotation !== undefined).map(([value]) => value) };
}

interface SplitNames { readonly signs?: string; readonly left: string; readonly right: string; readonly shape: string }

/** Appends products with rotations; one matrix per rotation and direction, one product per value. */
export class TurnWriter {
  /** Weights that hold rotations. */
  readonly kept = new Set<string>();
  readonly #fresh: Fresh;
  readonly #nodes: Node[] = [];
  readonly #weights: TensorRef[] = [];
  readonly #matrices = new Map<Rotation, { forward?: string; back?: string }>();
  readonly #split = new Map<Rotation, SplitNames>();
  readonly #turned = new Map<string, string>();

  constructor(graph: Graph) {
    this.#fresh = freshNames(graph);
  }

  /** The value turned, or turned back; `to` names the result. */
  turn(value: string, rotation: Rotation, { back = false, to }: { readonly back?: boolean; readonly to?: string } = {}): string {
    const key = `${value}\n${back}`;
    const known = this.#turned.get(key);
    if (known !== undefined) return known;
    const stem = `${value}_${back ? 'turned_back' : 'turned'}`;
    const op = (type: string, inputs: readonly string[], output = this.#fresh(`${stem}_${type}`)): string => {
      this.#nodes.push(makeNode(type, inputs, [output], { name: this.#fresh(`${stem}/${type}`) }));
      return output;
    };
    const output = to ?? this.#fresh(stem);
    this.#turned.set(key, output);
    if (rotation.factors !== undefined) {
      const { signs, left, right, shape } = this.#factors(rotation);
      const parts = op('Reshape', [back || signs === undefined ? value : op('Mul', [value, signs]), shape]);
      const whole = [op('MatMul', [left, op('MatMul', [parts, right])]), op('Shape', [value])];
      if (back && signs !== undefined) op('Mul', [op('Reshape', whole), signs], output);
      else op('Reshape', whole, output);
      return output;
    }
    const matrix = this.#matrix(rotation, back);
    if (rotation.order === rotation.width) op('MatMul', [value, matrix], output);
    else op('Reshape', [op('MatMul', [op('Reshape', [value, this.#weight(int64Tensor('runs', [-1, rotation.order]))]), matrix]), op('Shape', [value])], output);
    return output;
  }

  #weight(tensor: TensorRef): string {
    const name = this.#fresh(tensor.name);
    this.#weights.push(renamed(tensor, name));
    return name;
  }

  #matrix(rotation: Rotation, back: boolean): string {
    const { order, matrix } = rotation;
    const names = this.#matrices.get(rotation) ?? {};
    this.#matrices.set(rotation, names);
    const direction = back ? 'back' : 'forward';
    if (names[direction] === undefined) {
      const values = back ? Float32Array.from(matrix, (_, i) => matrix[(i % order) * order + Math.floor(i / order)]) : matrix;
      names[direction] = this.#weight(floatTensor(back ? 'rotation_back' : 'rotation', [order, order], values));
      this.kept.add(names[direction]);
    }
    return names[direction];
  }

  /** Signs of all runs, both factors, and the shape [all, left, right] that they turn. */
  #factors(rotation: Rotation): SplitNames {
    const known = this.#split.get(rotation);
    if (known !== undefined) return known;
    const { width, order, factors } = rotation;
    const { signs, left, right } = factors!;
    const [a, b] = [Math.sqrt(left.length), Math.sqrt(right.length)];
    const names: SplitNames = {
      ...(signs === undefined ? {} : { signs: this.#weight(floatTensor('rotation_signs', [width], Float32Array.from({ length: width }, (_, i) => signs[i % order]))) }),
      left: this.#weight(floatTensor('rotation', [a, a], left)), right: this.#weight(floatTensor('rotation', [b, b], right)),
      shape: this.#weight(int64Tensor('runs', [-1, a, b])),
    };
    for (const name of [names.left, names.right]) this.kept.add(name);
    this.#split.set(rotation, names);
    return names;
  }

  /** The graph with what was written. */
  into(graph: Graph): Graph {
    const weights = new Map(graph.weights);
    for (const weight of this.#weights) weights.set(weight.name, weight);
    const next: Graph = { ...graph, nodes: [...graph.nodes, ...this.#nodes], weights };
    return { ...next, nodes: sortNodes(next) };
  }
}
