/** Gradients of matrix products. Transposed operands go to the engine as flags, not as copies. */
import { float, int } from '../build.ts';
import { unbroadcast, type GradientRule, type GradientSite } from './site.ts';
import { product } from './window.ts';

interface Flags { readonly transA?: boolean; readonly transB?: boolean; readonly alpha?: number }

/** Batched product with transposed operands: FusedMatMul of ONNX Runtime. */
export function matmul(site: GradientSite, a: string, b: string, { transA = false, transB = false, alpha = 1 }: Flags = {}): string {
  if (!transA && !transB && alpha === 1) return site.tape.op('MatMul', [a, b]);
  return site.tape.node('FusedMatMul', [a, b], {
    domain: 'com.microsoft', attributes: { transA: int(transA ? 1 : 0), transB: int(transB ? 1 : 0), ...(alpha === 1 ? {} : { alpha: float(alpha) }) },
  })[0];
}

/** One product of matrices with either operand transposed. */
export const gemm = (site: GradientSite, a: string, b: string, { transA = false, transB = false, alpha = 1 }: Flags = {}): string =>
  site.tape.op('Gemm', [a, b], { ...(transA ? { transA: int(1) } : {}), ...(transB ? { transB: int(1) } : {}), ...(alpha === 1 ? {} : { alpha: float(alpha) }) });

/** Shape of the product of two stacks of matrices. */
const batchOf = (a: readonly number[], b: readonly number[]): number[] => {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  const lead = long.length - short.length;
  return long.slice(0, -2).map((dim, i) => (i < lead ? dim : Math.max(dim, short[i - lead])));
};

/** y = scale · op(a) · op(b), where op may transpose the last two axes. */
function stackedProduct(site: GradientSite, transA: boolean, transB: boolean, alpha: number): (string | undefined)[] {
  const { dy } = site;
  const [a, b] = site.node.inputs;
  const [shapeA, shapeB] = [site.shape(0), site.shape(1)];
  // A vector is a matrix of one row (left) or one column (right).
  if (shapeA.length === 1 || shapeB.length === 1) return vectorProduct(site);
  const batch = batchOf(shapeA, shapeB);
  const reduced = (value: string, from: readonly number[], index: number): string => unbroadcast(site, value, from, site.shape(index));
  let da: string | undefined;
  let db: string | undefined;
  if (site.wants(0)) {
    const whole = transA
      ? matmul(site, b, dy, { transA: transB, transB: true, alpha })
      : matmul(site, dy, b, { transB: !transB, alpha });
    da = reduced(whole, [...batch, ...shapeA.slice(-2)], 0);
  }
  if (site.wants(1)) {
    if (shapeB.length === 2 && !transA && shapeA.length > 2) {
      // All rows of all matrices against one weight: a single product instead of a sum over the stack.
      const rows = product(shapeA.slice(0, -1));
      const flatA = site.reshape(a, [rows, shapeA.at(-1)!]);
      const flatY = site.reshape(dy, [rows, site.resultShape().at(-1)!]);
      db = transB ? gemm(site, flatY, flatA, { transA: true, alpha }) : gemm(site, flatA, flatY, { transA: true, alpha });
    } else {
      const whole = transB
        ? matmul(site, dy, a, { transA: true, transB: transA, alpha })
        : matmul(site, a, dy, { transA: !transA, alpha });
      db = reduced(whole, [...batch, ...shapeB.slice(-2)], 1);
    }
  }
  return [da, db];
}

function vectorProduct(site: GradientSite): (string | undefined)[] {
  const [a, b] = site.node.inputs;
  const [shapeA, shapeB] = [site.shape(0), site.shape(1)];
  const matA = shapeA.length === 1 ? site.reshape(a, [1, shapeA[0]]) : a;
  const matB = shapeB.length === 1 ? site.reshape(b, [shapeB[0], 1]) : b;
  const [fullA, fullB] = [shapeA.length === 1 ? [1, shapeA[0]] : shapeA, shapeB.length === 1 ? [shapeB[0], 1] : shapeB];
  const batch = batchOf(fullA, fullB);
  const dy = site.reshape(site.dy, [...batch, fullA.at(-2)!, fullB.at(-1)!]);
  const back = (value: string, from: readonly number[], full: readonly number[], index: number): string => {
    const summed = unbroadcast(site, value, from, full);
    return full === site.shape(index) ? summed : site.reshape(summed, site.shape(index));
  };
  return [
    site.wants(0) ? back(matmul(site, dy, matB, { transB: true }), [...batch, ...fullA.slice(-2)], fullA, 0) : undefined,
    site.wants(1) ? back(matmul(site, matA, dy, { transA: true }), [...batch, ...fullB.slice(-2)], fullB, 1) : undefined,
  ];
}

const gemmRule: GradientRule = (site) => {
  const { dy } = site;
  const [a, b] = site.node.inputs;
  const [transA, transB] = [site.int('transA', 0) === 1, site.int('transB', 0) === 1];
  const [alpha, beta] = [site.float('alpha', 1), site.float('beta', 1)];
  return [
    site.wants(0) ? (transA ? gemm(site, b, dy, { transA: transB, transB: true, alpha }) : gemm(site, dy, b, { transB: !transB, alpha })) : undefined,
    site.wants(1) ? (transB ? gemm(site, dy, a, { transA: true, transB: transA, alpha }) : gemm(site, a, dy, { transA: !transA, alpha })) : undefined,
    site.wants(2) ? site.unbroadcast(beta === 1 ? dy : site.mul(dy, beta), site.resultShape(), 2) : undefined,
  ];
};

/** Every index of an operand stands in the result or in the other operand, or is summed and repeated. */
const einsum: GradientRule = (site) => {
  const equation = site.text('equation', '').replace(/\s/g, '');
  const [left, written] = equation.split('->');
  const operands = left.split(',');
  if (equation.includes('.') || operands.some((letters) => new Set(letters).size < letters.length)) throw site.without(`equation ${equation}`);
  // Without an arrow the result is what occurs once, in alphabetical order.
  const letters = [...operands.join('')];
  const result = written ?? letters.filter((letter) => letters.indexOf(letter) === letters.lastIndexOf(letter)).sort().join('');
  return operands.map((target, index) => {
    if (!site.wants(index)) return undefined;
    const others = operands.filter((_, i) => i !== index);
    const known = new Set([...result, ...others.join('')]);
    const found = [...target].filter((letter) => known.has(letter));
    const terms = [result, ...others];
    const inputs = [site.dy, ...site.node.inputs.filter((_, i) => i !== index)];
    const partial = site.tape.op('Einsum', inputs, { equation: { kind: 'string', value: `${terms.join(',')}->${found.join('')}` } });
    if (found.length === target.length) return partial;
    // Summed away on its own: the gradient is the same along that index.
    const shape = site.shape(index);
    const kept = [...target].map((letter, i) => (known.has(letter) ? shape[i] : 1));
    return site.tape.op('Expand', [site.reshape(partial, kept), site.tape.ints(shape)]);
  });
};

export const productRules: Readonly<Record<string, GradientRule>> = {
  MatMul: (site) => stackedProduct(site, false, false, 1),
  'com.microsoft:FusedMatMul': (site) => {
    if (site.int('transBatchA', 0) === 1 || site.int('transBatchB', 0) === 1) throw site.without('transposed batches');
    return stackedProduct(site, site.int('transA', 0) === 1, site.int('transB', 0) === 1, site.float('alpha', 1));
  },
  Gemm: gemmRule,
  Einsum: einsum,
};
