/** Bit-widths drawn for training a supernet (HASB, arXiv:2502.01199, section 3.3): sensitive layers draw wide ones more often. */

/**
 * The width that a number of [0, 1) falls on: all alike for a layer that is not sensitive, else each with a chance in
 * proportion to itself. `widths` by rising order.
 */
export function drawWidth(widths: readonly number[], isSensitive: boolean, at: number): number {
  const total = isSensitive ? widths.reduce((sum, width) => sum + width, 0) : widths.length;
  let reached = 0;
  for (const width of widths) {
    reached += (isSensitive ? width : 1) / total;
    if (at < reached) return width;
  }
  return widths.at(-1)!;
}

/** A layer is sensitive when the trace of its Hessian is at least the mean over layers. */
export function sensitiveLayers(traces: readonly number[]): boolean[] {
  const mean = traces.reduce((sum, trace) => sum + trace, 0) / traces.length;
  return traces.map((trace) => trace >= mean);
}
