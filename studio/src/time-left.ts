/** Seconds that work still takes, by how fast it went lately: a run that goes on from an earlier one begins with a leap. */
export function timeLeft(now: () => number = () => performance.now()): (share: number) => number | undefined {
  const windowMs = 20_000;
  const seen: { readonly at: number; readonly share: number }[] = [];
  return (share) => {
    const at = now();
    seen.push({ at, share });
    while (seen.length > 2 && seen[1].at < at - windowMs) seen.shift();
    const [first] = seen;
    if (at - first.at < 2000 || share <= first.share) return undefined;
    return ((1 - share) * (at - first.at)) / (share - first.share) / 1000;
  };
}
