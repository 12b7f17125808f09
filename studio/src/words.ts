/** Numbers as people read them, and lists as they write them. */
import type { Made } from './protocol.ts';

export function size(bytes: number): string {
  for (const [unit, scale] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]] as const) if (bytes >= scale) return `${(bytes / scale).toPrecision(3)} ${unit}`;
  return `${bytes} bytes`;
}

export const duration = (seconds: number): string => (seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

/** Names in the list of layers that stay float. */
export const namesIn = (keep: string): string[] => keep.split(',').map((name) => name.trim()).filter((name) => name !== '');

/** Of a file and the external data that belong to it. */
export const shippedBytes = ({ files }: Pick<Made, 'files'>, file: string): number =>
  files.filter(({ path }) => path === file || path.startsWith(`${file}_data`)).reduce((sum, { blob }) => sum + blob.size, 0);
