/** Short names of outputs, for plots: as long as needed to tell them apart. */
import type { Output } from '../jobs/result.ts';

export function outputNames(outputs: readonly Pick<Output, 'label' | 'target' | 'file'>[]): string[] {
  const count = (same: (other: (typeof outputs)[number]) => boolean): number => outputs.filter(same).length;
  return outputs.map(({ label, target, file }) => {
    if (count((other) => other.label === label) === 1) return label;
    return count((other) => other.label === label && other.target === target) === 1 ? `${label} ${target}` : file;
  });
}
