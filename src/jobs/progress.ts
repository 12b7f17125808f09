/** How long work tells its progress. The command line draws it; library calls may listen or stay silent. */

export interface Progress {
  /** Starts a phase of `total` units; the label says what is being done. */
  phase(label: string, total?: number): void;
  /** `done` units of the phase are finished. */
  advance(done: number): void;
  /** A line that stays: one per tensor, file or step. */
  line(text: string): void;
  end(): void;
}

/** For callers that want silence. */
export const silentProgress: Progress = { phase() {}, advance() {}, line() {}, end() {} };
