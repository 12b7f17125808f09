/** First layers of feed-forward parts take another element: what a GELU follows needs its levels close to zero. */
import { parseFormat } from '../../formats/registry.ts';
import { layersBeforeGelu } from '../../graph/feed-forward.ts';
import type { StepRunner } from '../state.ts';

export const beforeGelu: StepRunner<'before-gelu'> = async (state, { element }, context) => {
  const formats = new Map(state.formats);
  for (const site of layersBeforeGelu(state.graph)) {
    const asked = context.formatOf(state, site);
    // The same scales, other levels.
    if (asked?.family === 'minifloat') formats.set(site.id, parseFormat(asked.name.replace(/^[^/]+/, element)));
  }
  return { ...state, formats, notes: [...state.notes, `${formats.size - state.formats.size} layers before a GELU in ${element}`] };
};
