/** Attributes of nodes as numbers. */
import type { Node } from './graph.ts';

/** A whole number, or `fallback` where a node does not say it. */
export function intOf<F>({ attributes }: Pick<Node, 'attributes'>, name: string, fallback: F): number | F {
  const found = attributes[name];
  return found?.kind === 'int' ? found.value : fallback;
}
