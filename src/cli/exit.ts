/** What the exit code says. Programs and CI jobs rely on these numbers. */
export const exitCodes = {
  ok: 0,
  /** The work could not be done: bad input, refused plan, engine failure. */
  failed: 1,
  /** The command line itself was wrong. */
  usage: 2,
  /** Done, but a gate such as `--max-kl` was missed; or, for reproductions, data is missing. */
  gate: 3,
  /** A defect in fewbit. */
  internal: 70,
  /** Whoever read the output stopped reading; the number that shells give those whom the signal for it ends. */
  unread: 141,
} as const;
