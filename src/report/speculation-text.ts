/** What guesses brought, in one line. */
import type { SpeculationReport } from '../runtime/speculation-report.ts';

const milliseconds = (seconds: number): string => `${(1000 * seconds).toFixed(2)} ms`;

export function speculationText({ passes, guessed, acceptedLength, innerAcceptedLengths, seconds, speedUp }: SpeculationReport): string {
  if (passes === 0) return 'nothing was guessed';
  const inner = innerAcceptedLengths.length === 0 ? '' : ` (${innerAcceptedLengths.map((one) => one.toFixed(2)).join(', ')} in the small models)`;
  const times = `drafting ${milliseconds(seconds.draft)} and a pass ${milliseconds(seconds.verify)}, where a step takes ${milliseconds(seconds.step)}`;
  return `${acceptedLength.toFixed(2)} tokens per pass${inner} of ${guessed.toFixed(1)} guesses; ${times}: ${speedUp.toFixed(2)} times as fast as without by the cost model, which ${speedUp > 1 ? 'pays' : 'does not pay'}`;
}
