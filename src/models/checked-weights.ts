/** The check that a file has the tensors that its configuration asks for. */
import { defineErrors } from '../errors.ts';
import { isFloatType } from '../graph/values.ts';
import { isBlockType, type TensorRef } from '../tensor-ref.ts';

const errors = defineErrors('weights', {
  missing: (f: { name: string; others: number }) => `tensor ${f.name} is missing${f.others > 0 ? ` and so are ${f.others} others` : ''}`,
  extra: (f: { name: string; others: number }) => `tensor ${f.name} has no place in the architecture${f.others > 0 ? `, nor have ${f.others} others` : ''}`,
  shape: (f: { name: string; found: readonly number[]; expected: readonly number[] }) =>
    `tensor ${f.name} has shape [${f.found.join(', ')}], config.json asks for [${f.expected.join(', ')}]`,
  type: (f: { name: string; type: string }) => `tensor ${f.name} has type ${f.type}, weights must be float`,
});

/** The tensors of `shapes` in their order; throws one `weights.*` error where one is missing, differs, or has no place and is not `ignored`. */
export function checkedTensors(shapes: ReadonlyMap<string, readonly number[]>, found: ReadonlyMap<string, TensorRef>, ignored: (name: string) => boolean): Map<string, TensorRef> {
  const missing = [...shapes.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) throw errors.missing({ name: missing[0], others: missing.length - 1 });
  const extra = [...found.keys()].filter((name) => !shapes.has(name) && !ignored(name));
  if (extra.length > 0) throw errors.extra({ name: extra[0], others: extra.length - 1 });
  const weights = new Map<string, TensorRef>();
  for (const [name, expected] of shapes) {
    const tensor = found.get(name)!;
    if (!isBlockType(tensor.type) && !isFloatType(tensor.type)) throw errors.type({ name, type: tensor.type });
    if (tensor.shape.length !== expected.length || tensor.shape.some((dim, i) => dim !== expected[i])) throw errors.shape({ name, found: tensor.shape, expected });
    weights.set(name, tensor);
  }
  return weights;
}
