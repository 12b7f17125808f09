/** What kernels of attention in tiles do with scores: 16 threads to each four queries, four keys to a thread, softmax as tiles come. */
import { each, range } from './lines.ts';

/** Scores `s0` to `s3` of keys that are `seen` fade what is summed, and become weights of type `element`; threads meet in `parts`. */
export const tileSoftmax = (queries: number, columns: number, element: string): string => `parts[lane] = vec4f(${range(4).map((i) => `max(max(s${i}.x, s${i}.y), max(s${i}.z, s${i}.w))`).join(', ')});
    workgroupBarrier();
    var most = top;
    for (var i = 0u; i < 16u; i++) { most = max(most, parts[ty * 16u + i]); }
    let fade = exp(top - most);
    top = most;
    ${each(4, (i) => `let w${i} = select(vec4f(), exp(s${i} - most[${i}]), seen${i});`)}
    total = total * fade + vec4f(${range(4).map((i) => `w${i}.x + w${i}.y + w${i}.z + w${i}.w`).join(', ')});
    ${each(4, (c) => `weights[(tx * 4u + ${c}u) * ${queries}u + ty] = vec4<${element}>(vec4f(w0[${c}], w1[${c}], w2[${c}], w3[${c}]));`)}
    ${each(4 * columns, (i) => `sum${i} *= fade[${i & 3}];`)}`;

/** Totals of a query over its 16 threads. */
export const tileTotals = `workgroupBarrier();
  parts[lane] = total;
  workgroupBarrier();
  total = vec4f();
  for (var i = 0u; i < 16u; i++) { total += parts[ty * 16u + i]; }`;
