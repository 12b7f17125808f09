/** Layers that a method leaves float, by words of their names. */
import { linearSites } from '../../graph/linear.ts';
import type { StepRunner } from '../state.ts';

/** Whether a layer is called by one of the words; an empty word calls every layer. */
export const isCalled = ({ id, node }: { readonly id: string; readonly node: { readonly name: string } }, words: readonly string[]): boolean =>
  words.some((word) => id.includes(word) || node.name.includes(word));

export const protect: StepRunner<'protect'> = async (state, { layers }) => {
  const found = linearSites(state.graph, { gather: true }).filter((site) => isCalled(site, layers)).map(({ id }) => id);
  return { ...state, kept: new Set([...state.kept, ...found]), notes: [...state.notes, `float by the recipe: ${found.length === 0 ? `no layer is called ${layers.join(', ')}` : found.join(', ')}`] };
};
