/** What a vision transformer and a diffusion transformer have in common, written as graph nodes with seeded weights. */
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import { normal } from '../../src/numeric/random.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

export interface TransformerSize {
  /** Pixels of a patch along each side, and patches of an image along each side. */
  readonly patch: number;
  readonly side: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Width inside of the feed-forward layers. */
  readonly inner: number;
}

export class TransformerLayers {
  readonly g: GraphBuilder;
  readonly size: TransformerSize;
  /** Parameters, in the order in which they were made: matrices decay, the others do not. */
  readonly matrices: string[] = [];
  readonly others: string[] = [];
  #seed: number;

  constructor(name: string, size: TransformerSize, seed: number) {
    this.g = new GraphBuilder(name, 21);
    this.size = size;
    this.#seed = seed;
  }

  /** Normal numbers of this deviation. */
  matrix(name: string, shape: readonly number[], deviation: number): string {
    const stream = this.matrices.length;
    this.matrices.push(name);
    return this.g.weight(floatTensor(name, shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => deviation * normal(this.#seed, stream, i))));
  }

  vector(name: string, count: number, value: number): string {
    this.others.push(name);
    return this.g.weight(floatTensor(name, [count], new Float32Array(count).fill(value)));
  }

  /** x [n, …, from] · matrix + bias; `deviation` 0 starts it at nothing. */
  linear(name: string, x: string, from: number, to: number, deviation = Math.sqrt(2 / (from + to))): string {
    return this.g.op('Add', [this.g.op('MatMul', [x, this.matrix(`${name}.weight`, [from, to], deviation)]), this.vector(`${name}.bias`, to, 0)]);
  }

  /** Layer normalization; without `learned` its gain is one and stays so. */
  norm(name: string, x: string, learned: boolean): string {
    const { width } = this.size;
    if (learned) return this.g.op('LayerNormalization', [x, this.vector(`${name}.weight`, width, 1), this.vector(`${name}.bias`, width, 0)]);
    return this.g.op('LayerNormalization', [x, this.g.weight(floatTensor(`${name}.ones`, [width], new Float32Array(width).fill(1)))]);
  }

  /** Images [n, 1, height, width] as tokens [n, side², width], with their places added. */
  tokens(x: string): string {
    const { patch, side, width } = this.size;
    const kernel = this.matrix('patches.weight', [width, 1, patch, patch], 1 / patch);
    const map = this.g.op('Conv', [x, kernel, this.vector('patches.bias', width, 0)], { strides: ints([patch, patch]) });
    const rows = this.g.op('Transpose', [this.g.op('Reshape', [map, this.g.ints([0, width, side ** 2])])], { perm: ints([0, 2, 1]) });
    return this.g.op('Add', [rows, this.matrix('places', [1, side ** 2, width], 0.02)]);
  }

  /** Attention of every token to every token. */
  attention(name: string, x: string): string {
    const { width, heads, side } = this.size;
    const { g } = this;
    const parts = g.op('Split', [this.linear(`${name}.qkv`, x, width, 3 * width)], { axis: int(-1), num_outputs: int(3) }, { outputs: 3 });
    const [q, k, v] = parts.map((part) => g.op('Transpose', [g.op('Reshape', [part, g.ints([0, side ** 2, heads, width / heads])])], { perm: ints([0, 2, 1, 3]) }));
    const scores = g.op('Mul', [g.op('MatMul', [q, g.op('Transpose', [k], { perm: ints([0, 1, 3, 2]) })]), g.floats(Math.sqrt(heads / width))]);
    const mixed = g.op('MatMul', [g.op('Softmax', [scores]), v]);
    return this.linear(`${name}.out`, g.op('Reshape', [g.op('Transpose', [mixed], { perm: ints([0, 2, 1, 3]) }), g.ints([0, side ** 2, width])]), width, width);
  }

  feedForward(name: string, x: string): string {
    const { width, inner } = this.size;
    return this.linear(`${name}.down`, this.g.op('Gelu', [this.linear(`${name}.up`, x, width, inner)]), inner, width);
  }
}
