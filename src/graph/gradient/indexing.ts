/**
 * Gradients of gathers and scatters. Sums over repeated indices go through ScatterElements: ScatterND with a reduction
 * races on repeated indices in ONNX Runtime.
 */
import { int, string } from '../build.ts';
import type { GradientRule, GradientSite } from './site.ts';
import { product } from './window.ts';

/** Adds `updates` at `indices` along an axis of a tensor of zeros. */
const scattered = (site: GradientSite, shape: readonly number[], indices: string, updates: string, axis: number): string =>
  site.tape.op('ScatterElements', [site.zeros(shape), indices, updates], { axis: int(axis), reduction: string('add') });

const gather: GradientRule = (site) => {
  const shape = site.shape();
  const axis = site.axis('axis', 0);
  const picked = product(site.shape(1));
  const [before, after] = [product(shape.slice(0, axis)), product(shape.slice(axis + 1))];
  const flat = [before, shape[axis], after];
  const updates = site.reshape(site.dy, [before, picked, after]);
  const indices = site.tape.op('Expand', [site.reshape(site.node.inputs[1], [1, picked, 1]), site.tape.ints([before, picked, after])]);
  return [site.reshape(scattered(site, flat, indices, updates, 1), shape), undefined];
};

/** Index tuples become positions in the flattened leading axes. */
const gatherND: GradientRule = (site) => {
  const shape = site.shape();
  const depth = site.shape(1).at(-1)!;
  const batchDims = site.int('batch_dims', 0);
  const picked = product(site.shape(1).slice(batchDims, -1));
  const [batch, rows, inner] = [product(shape.slice(0, batchDims)), product(shape.slice(batchDims, batchDims + depth)), product(shape.slice(batchDims + depth))];
  const dims = shape.slice(batchDims, batchDims + depth);
  const strides = dims.map((_, i) => product(dims.slice(i + 1)));
  const wide = site.tape.op('Cast', [site.node.inputs[1]], { to: int(7) });
  const whole = site.tape.op('Where', [site.tape.op('Less', [wide, site.tape.ints(0)]), site.tape.op('Add', [wide, site.tape.ints(dims)]), wide]);
  const places = site.tape.op('ReduceSum', [site.tape.op('Mul', [whole, site.tape.ints(strides)]), site.tape.ints([-1])], { keepdims: int(0) });
  const indices = site.tape.op('Expand', [site.reshape(places, [batch, picked, 1]), site.tape.ints([batch, picked, inner])]);
  return [site.reshape(scattered(site, [batch, rows, inner], indices, site.reshape(site.dy, [batch, picked, inner]), 1), shape), undefined];
};

const scatterElements: GradientRule = (site) => {
  const [, indices, updates] = site.node.inputs;
  const axis = int(site.int('axis', 0));
  const gathered = (): string => site.tape.op('GatherElements', [site.dy, indices], { axis });
  const reduction = site.text('reduction', 'none');
  if (reduction !== 'none' && reduction !== 'add') throw site.without(`reduction ${reduction}`);
  if (reduction === 'add') return [site.dy, undefined, site.wants(2) ? gathered() : undefined];
  const zeros = (): string => site.mul(updates, 0);
  return [
    site.wants(0) ? site.tape.op('ScatterElements', [site.dy, indices, zeros()], { axis }) : undefined, undefined,
    site.wants(2) ? gathered() : undefined,
  ];
};

/** Slices that were written get their gradient; what they replaced gets none. */
const scatterND: GradientRule = (site) => {
  const [, indices, updates] = site.node.inputs;
  const reduction = site.text('reduction', 'none');
  if (reduction !== 'none' && reduction !== 'add') throw site.without(`reduction ${reduction}`);
  const kept = (): string => (reduction === 'add' ? site.dy : site.tape.op('ScatterND', [site.dy, indices, site.mul(updates, 0)]));
  return [site.wants(0) ? kept() : undefined, undefined, site.wants(2) ? site.tape.op('GatherND', [site.dy, indices]) : undefined];
};

export const indexingRules: Readonly<Record<string, GradientRule>> = {
  Gather: gather,
  GatherND: gatherND,
  GatherElements: (site) => [scattered(site, site.shape(), site.node.inputs[1], site.dy, site.axis('axis', 0)), undefined],
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  TopK: (site) => [scattered(site, site.shape(), site.node.outputs[1], site.dy, site.axis('axis', -1)), undefined],
};
