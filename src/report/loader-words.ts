/** What became of a loader snippet, in words: the same in the report and in the card. */
import type { LoaderSnippet } from '../jobs/result.ts';

/** A sentence that says where the code runs and whether the run has executed it. */
export function executionText({ executed, reason, printed }: LoaderSnippet): string {
  if (!executed) return `To be run in the folder of the outputs. Not executed: ${reason ?? 'no reason was kept'}.`;
  return `Executed in the folder of the outputs when the file was made${printed === undefined ? '; it ran to its end and printed nothing.' : `; its first line of output was: ${printed}`}`;
}
