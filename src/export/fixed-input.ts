/** Inputs of layers that lie on a grid already: the engine must not round them to another. */
import type { Node } from '../graph/graph.ts';

/** Whether a value is what DequantizeLinear gives, or a rounded and clipped value times a scale. */
export function liesOnGrid(value: string, producers: ReadonlyMap<string, Node>): boolean {
  const maker = producers.get(value);
  if (maker?.op === 'DequantizeLinear') return true;
  return maker?.op === 'Mul' && maker.inputs.some((name) => {
    const clip = producers.get(name);
    return clip?.op === 'Clip' && producers.get(clip.inputs[0])?.op === 'Round';
  });
}
