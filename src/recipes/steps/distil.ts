/** Sample inputs made from the statistics that the float network stores, as batches that can be started again. */
import type { Feeds } from '../../engine/session.ts';
import { takeRows } from '../../observe/data/dataset.ts';
import { imageShape } from '../../train/statistics-loss.ts';
import type { StepRunner } from '../state.ts';

/** Samples in one batch of data that were made. */
const distilledBatch = 32;

export const distil: StepRunner<'distil'> = async (state, { from, count: wanted, iterations }, { options: { engine, seed = 0, threads = 1, onLine } }) => {
  const { graph } = state;
  const shape = imageShape(graph);
  const [{ name, shape: declared }] = graph.inputs;
  const fixed = declared?.[0];
  const size = typeof fixed === 'number' ? fixed : Math.min(distilledBatch, wanted);
  const count = Math.max(wanted, size);
  // Training is imported where it is asked for: most recipes do without.
  const make = from === 'pixels' ? (await import('../../train/batchnorm-data.ts')).distilImages : (await import('../../train/generator-data.ts')).generateImages;
  const { images, losses } = await make(graph, shape, { engine, count, iterations, seed, threads });
  onLine?.(`${count} images of ${shape.join(' × ')} made in ${losses.length} steps: loss ${losses[0].toPrecision(3)} to ${losses.at(-1)!.toPrecision(3)}`);
  const batches = () => Array.from({ length: Math.floor(count / size) }, (_, i): Feeds => ({ [name]: takeRows(images, Array.from({ length: size }, (_one, row) => i * size + row)) }));
  return { ...state, batches };
};
