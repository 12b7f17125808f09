/**
 * Product with a frozen matrix that a low-rank adapter adds to: y = x · (W + scale · A · B), or with the sum transposed, plus a
 * bias where there is one. The sum is what a merged file holds. Its gradient is never made: that of A is xᵀ · (dy · Bᵀ), that
 * of B is (x · A)ᵀ · dy, products with one side as narrow as the rank (LoRA, arXiv:2106.09685).
 * Inputs: x, W, A, B, bias. Attributes: `scale`, `transB` (W, and so A · B, is stored [out, in]).
 */
import { float, int } from '../../graph/build.ts';
import { compositeDomain, type Composite } from '../../graph/composite.ts';
import { gemm, matmul } from '../../graph/gradient/products.ts';
import type { Tape } from '../../graph/gradient/tape.ts';
import { product } from '../../graph/gradient/window.ts';
import type { Node } from '../../graph/graph.ts';

/** W + scale · A · B */
export function appendAdaptedWeight(tape: Tape, [w, a, b]: readonly [w: string, a: string, b: string], scale: number): string {
  return tape.op('Add', [w, tape.op('Mul', [tape.op('MatMul', [a, b]), tape.constant(scale)])]);
}

const settings = ({ attributes }: Node): { readonly scale: number; readonly isTransposed: boolean } =>
  ({ scale: Number(attributes.scale?.value), isTransposed: attributes.transB?.value === 1 });

export const adaptedProduct: Composite = {
  op: 'AdaptedProduct',
  expand(node, tape) {
    const [x, w, a, b, bias = ''] = node.inputs;
    const { scale, isTransposed } = settings(node);
    const sum = appendAdaptedWeight(tape, [w, a, b], scale);
    if (!isTransposed && bias === '') return [tape.op('MatMul', [x, sum])];
    return [tape.op('Gemm', bias === '' ? [x, sum] : [x, sum, bias], { transB: int(isTransposed ? 1 : 0) })];
  },
  gradient(site) {
    const { node, tape, dy } = site;
    const [x, w, a, b] = node.inputs;
    const { scale, isTransposed } = settings(node);
    const rows = product(site.shape().slice(0, -1));
    const flat = (value: string, width: number): string => site.reshape(value, [rows, width]);
    // The matrix lies between what its rows and what its columns belong to: x and dy, or dy and x.
    const sides = [flat(x, site.shape().at(-1)!), flat(dy, site.resultShape().at(-1)!)];
    const [left, right] = isTransposed ? sides.toReversed() : sides;
    return [
      site.wants(0) ? matmul(site, dy, appendAdaptedWeight(tape, [w, a, b], scale), { transB: !isTransposed }) : undefined,
      site.wants(1) ? gemm(site, left, right, { transA: true }) : undefined,
      site.wants(2) ? gemm(site, left, gemm(site, right, b, { transB: true, alpha: scale }), { transA: true }) : undefined,
      site.wants(3) ? gemm(site, gemm(site, left, a, { alpha: scale }), right, { transA: true }) : undefined,
      site.wants(4) ? site.unbroadcast(dy, site.resultShape(), 4) : undefined,
    ];
  },
};

/** The node in the place of a MatMul or Gemm that reads W. */
export const adaptedNode = (reader: Node, a: string, b: string, scale: number): Node => ({
  ...reader, op: adaptedProduct.op, domain: compositeDomain, inputs: [reader.inputs[0], reader.inputs[1], a, b, ...reader.inputs.slice(2)],
  attributes: { scale: float(scale), transB: int(reader.attributes.transB?.value === 1 ? 1 : 0) },
});
