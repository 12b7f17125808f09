/** Channels turned by Hadamard matrices with signs from the seed: in the residual stream where the graph allows, else as the network runs. */
import { checkEquivalent } from '../../transform/check-equivalent.ts';
import { rotateResidual } from '../../transform/rotate-residual.ts';
import { rotateInputs, turnable } from '../../transform/rotate.ts';
import { hadamardRotation, rotationNote, type Rotation } from '../../transform/rotation.ts';
import { firstBatch } from '../../observe/taps.ts';
import type { StepRunner } from '../state.ts';

export const rotate: StepRunner<'rotate'> = async (state, { where }, context) => {
  const { graph } = state;
  const { engine, seed = 0, batches } = context.options;
  const rotations = new Map<number, Rotation>();
  const rotationOf = (width: number): Rotation => {
    const rotation = rotations.get(width) ?? hadamardRotation(width, seed);
    rotations.set(width, rotation);
    return rotation;
  };
  const residual = where === 'online' ? { graph, kept: new Set<string>(), turned: [] } : await rotateResidual(graph, rotationOf);
  const kept = new Set([...state.kept, ...residual.kept]);
  const sites = turnable(residual.graph).filter((site) => context.formatOf({ ...state, kept }, site) !== undefined && !residual.turned.includes(site.input));
  const online = await rotateInputs(residual.graph, (site) => (where === 'residual' ? undefined : rotationOf(site.cols)), sites);
  const samples = state.batches ?? batches;
  if (samples !== undefined) await checkEquivalent(graph, online.graph, engine, await firstBatch(samples()));
  const blocks = [...rotations.values()].map(rotationNote).filter((line) => line !== undefined);
  return {
    ...state, graph: online.graph, kept: new Set([...kept, ...online.kept]),
    notes: [...state.notes, `inputs of layers are turned by Hadamard matrices, seed ${seed}: ${residual.turned.length} within the residual stream, ${online.turned.length} as the network runs`, ...blocks],
  };
};
