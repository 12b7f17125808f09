/** Inputs lifted above zero where that is known to be enough; their integers need no sign. */
import type { NumberFormat } from '../../formats/format.ts';
import { parseFormat } from '../../formats/registry.ts';
import { isScaled } from '../../formats/scaled.ts';
import { turnable } from '../../transform/rotate.ts';
import { shiftInputs } from '../../transform/shift.ts';
import type { StepRunner } from '../state.ts';
import { keepsFunction, sharedSites } from './shared-inputs.ts';

/** Integers without a sign where nothing below zero comes: the same groups and scales. */
function unsignedTwin(format: NumberFormat): NumberFormat | undefined {
  if (!isScaled(format) || format.integer === undefined || format.integer.asymmetric) return undefined;
  return parseFormat(format.name.replace(/^int(\d)(-full)?/, 'uint$1'));
}

export const shift: StepRunner<'shift'> = async (state, _step, context) => {
  const sites = [...sharedSites(state, context).values()].flat().filter((site) => { const format = context.activationOf(state, site); return format !== undefined && unsignedTwin(format) !== undefined; });
  if (sites.length === 0) return state;
  const { graph, unsigned } = await shiftInputs(state.graph, sites);
  const activations = new Map(state.activations);
  const ids = new Set(sites.map(({ id }) => id));
  for (const site of turnable(graph)) {
    if (!unsigned.has(site.input) || !ids.has(site.id)) continue;
    activations.set(site.output, unsignedTwin(context.activationOf(state, sites.find(({ id }) => id === site.id)!)!)!);
  }
  await keepsFunction(state, graph, context);
  const note = `${unsigned.size} inputs of layers are never negative, or lifted by 11/64 so that they are not: their codes have no sign`;
  return { ...state, graph, activations, notes: unsigned.size === 0 ? state.notes : [...state.notes, note] };
};
