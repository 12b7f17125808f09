/** Times of several ways to do a thing: they run one after another, round by round, so that what else a machine does meets all of them. */

/** Milliseconds of each way in each round. */
export function inTurns(ways: readonly (() => void)[], rounds: number, clock = (): number => performance.now()): number[][] {
  const times = ways.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    ways.forEach((run, i) => {
      const started = clock();
      run();
      times[i].push(clock() - started);
    });
  }
  return times;
}

/** How many times as fast as another, by rounds. */
export const ratios = (times: readonly number[], other: readonly number[]): number[] => other.map((time, round) => time / times[round]);

/** Milliseconds that the process itself has computed; a page has its clock alone. */
export function processorTime(): number {
  if (typeof process === 'undefined') return performance.now();
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
