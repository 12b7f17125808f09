/** Numbers as people read them. */
export function size(bytes: number): string {
  for (const [unit, scale] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]] as const) if (bytes >= scale) return `${(bytes / scale).toPrecision(3)} ${unit}`;
  return `${bytes} bytes`;
}
