/** What guesses brought while a text was written, and whether the cost model says that they pay. */
import { median } from '../numeric/statistics.ts';
import { acceptedLength, type SpeculativeDecoder } from './speculate.ts';
import { predictedSpeedUp } from './speculation-cost.ts';

export interface SpeculationReport {
  /** Passes of the model, and tokens that were guessed for each. */
  readonly passes: number;
  readonly guessed: number;
  /** Tokens per pass, the model's own among them; of the small models that are guessed for, outermost first. */
  readonly acceptedLength: number;
  readonly innerAcceptedLengths: readonly number[];
  /** Seconds per round: drafting, and the pass over the guesses; and of a step of the model alone. */
  readonly seconds: { readonly draft: number; readonly verify: number; readonly step: number };
  /** How much faster than the model alone the cost model says that this is. */
  readonly speedUp: number;
}

/** Runs of a step that is timed; the median counts. */
const runs = 5;

export async function speculationReport(decoder: SpeculativeDecoder, levels: readonly SpeculativeDecoder[]): Promise<SpeculationReport> {
  const { rounds, guessed, draft, verify } = decoder.counts;
  const times: number[] = [];
  for (let i = 0; i < runs; i++) times.push(await decoder.timeStep());
  const step = median(times);
  const per = (sum: number): number => (rounds === 0 ? 0 : sum / rounds);
  return {
    passes: rounds, guessed: per(guessed), acceptedLength: acceptedLength(decoder.counts), innerAcceptedLengths: levels.map(({ counts }) => acceptedLength(counts)),
    seconds: { draft: per(draft), verify: per(verify), step },
    // Nothing was guessed where nothing was written.
    speedUp: rounds === 0 ? 1 : predictedSpeedUp({ acceptedLength: acceptedLength(decoder.counts), passes: 1, draft: per(draft) / step, verify: per(verify) / step }),
  };
}
