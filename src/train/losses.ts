/** Losses appended to a graph: each returns the name of one number, the mean over the batch. */
import { int } from '../graph/build.ts';
import type { Tape } from '../graph/gradient/tape.ts';

const meanOfAll = (tape: Tape, value: string): string => tape.op('ReduceMean', [value], { keepdims: int(0) });

/**
 * Mean cross-entropy in nats. `logits` [rows, classes]; `labels` int64 [rows].
 * With `smoothing` ε the target is 1 − ε on the label and ε spread over all classes.
 */
export function crossEntropy(tape: Tape, logits: string, labels: string, { smoothing = 0 }: { readonly smoothing?: number } = {}): string {
  const logs = tape.op('LogSoftmax', [logits], { axis: int(-1) });
  const picked = tape.op('GatherElements', [logs, tape.op('Unsqueeze', [labels, tape.ints([1])])], { axis: int(1) });
  const hard = tape.op('Neg', [meanOfAll(tape, picked)]);
  if (smoothing === 0) return hard;
  const spread = tape.op('Neg', [meanOfAll(tape, logs)]);
  return tape.op('Add', [tape.op('Mul', [hard, tape.constant(1 - smoothing)]), tape.op('Mul', [spread, tape.constant(smoothing)])]);
}

/** KL(teacher ‖ student) of softened distributions over the last axis, times temperature² (arXiv:1503.02531). `teacher` holds logits. */
export function distillation(tape: Tape, student: string, teacher: string, temperature = 1): string {
  const soft = (logits: string): string => tape.op('LogSoftmax', [temperature === 1 ? logits : tape.op('Mul', [logits, tape.constant(1 / temperature)])], { axis: int(-1) });
  const [p, q] = [soft(teacher), soft(student)];
  const terms = tape.op('Mul', [tape.op('Exp', [p]), tape.op('Sub', [p, q])]);
  const mean = meanOfAll(tape, tape.op('ReduceSum', [terms, tape.ints([-1])], { keepdims: int(0) }));
  return temperature === 1 ? mean : tape.op('Mul', [mean, tape.constant(temperature ** 2)]);
}

/** Mean squared difference. */
export function meanSquare(tape: Tape, a: string, b: string): string {
  const difference = tape.op('Sub', [a, b]);
  return meanOfAll(tape, tape.op('Mul', [difference, difference]));
}

/** Squared difference summed over the channels (axis 1 unless given) and averaged over the rest: the loss of block reconstruction. */
export function channelSquare(tape: Tape, a: string, b: string, axis = 1): string {
  const difference = tape.op('Sub', [a, b]);
  return meanOfAll(tape, tape.op('ReduceSum', [tape.op('Mul', [difference, difference]), tape.ints([axis])], { keepdims: int(0) }));
}
