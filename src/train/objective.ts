/** A forward graph made into one that ends in a loss: which outputs, which labels, and what each batch must feed. */
import type { Feeds } from '../engine/session.ts';
import { i64, type Tensor } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import { extend } from '../graph/extend.ts';
import type { Graph } from '../graph/graph.ts';
import { viewOf } from '../graph/traverse.ts';
import type { Labels } from '../observe/data/index.ts';
import { crossEntropy, distillation } from './losses.ts';

export interface ObjectiveOptions {
  /** Value of the class scores: [rows, classes], or [batch, tokens, vocabulary]. */
  readonly logits: string;
  /** Share of the distillation loss, 0 to 1; the teacher's scores are then fed as `teacher`. */
  readonly distill?: number;
  readonly temperature?: number;
}

export interface Objective {
  readonly graph: Graph;
  readonly loss: string;
  /** What `labels` and `teacher` are fed with. */
  feed(labels: Labels | undefined, teacher: Tensor | undefined): Feeds;
}

const errors = defineErrors('objective', {
  shape: (f: { logits: string; shape: string }) => `${f.logits} of shape [${f.shape}] holds no class scores`,
  unlabelled: (_: object) => ['training needs labels', 'give --labels, a folder per class, or text; or learn from the float model alone with --distill 1'],
});

/** Appends cross-entropy with the labels, distillation from a teacher's scores, or a mixture. */
export function classification(graph: Graph, { logits, distill = 0, temperature = 1 }: ObjectiveOptions): Objective {
  const info = viewOf(graph).info(logits);
  const shape = info?.shape;
  if (shape === undefined || shape.length < 2 || !shape.every((dim) => typeof dim === 'number')) throw errors.shape({ logits, shape: String(shape ?? 'unknown') });
  const classes = shape.at(-1) as number;
  const rows = (shape.slice(0, -1) as number[]).reduce((a, b) => a * b, 1);
  const inputs = [
    ...(distill < 1 ? [{ name: 'labels', type: 'i64' as const, shape: [rows] }] : []),
    ...(distill > 0 ? [{ name: 'teacher', type: 'f32' as const, shape: [rows, classes] }] : []),
  ];
  const { graph: extended, result: loss } = extend({ ...graph, inputs: [...graph.inputs, ...inputs] }, (tape) => {
    const flat = shape.length === 2 ? logits : tape.op('Reshape', [logits, tape.ints([rows, classes])]);
    const terms: string[] = [];
    const weigh = (value: string, share: number): string => (share === 1 ? value : tape.op('Mul', [value, tape.constant(share)]));
    if (distill < 1) terms.push(weigh(crossEntropy(tape, flat, 'labels'), 1 - distill));
    if (distill > 0) terms.push(weigh(distillation(tape, flat, 'teacher', temperature), distill));
    return terms.length === 1 ? terms[0] : tape.op('Add', terms);
  });
  return {
    graph: extended, loss,
    feed(labels, teacher) {
      if (distill < 1 && labels?.kind !== 'classes' && labels?.kind !== 'tokens') throw errors.unlabelled({});
      return {
        ...(distill < 1 ? { labels: i64([rows], (labels as { values: ArrayLike<number> }).values) } : {}),
        ...(distill > 0 ? { teacher: { type: 'f32', shape: [rows, classes], data: teacher!.data } satisfies Tensor } : {}),
      };
    },
  };
}
