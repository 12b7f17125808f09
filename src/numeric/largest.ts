/** Indices of the `count` largest of some values and at least `least`, the largest first, and the first among equals. */
export function largest(values: ArrayLike<number>, count: number, least = -Infinity): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (!(values[i] >= least) || (found.length === count && !(values[i] > values[found.at(-1)!]))) continue;
    let at = found.length;
    while (at > 0 && values[found[at - 1]] < values[i]) at--;
    found.splice(at, 0, i);
    found.length = Math.min(found.length, count);
  }
  return found;
}
