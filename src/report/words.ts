/** How quantities are written: the same in the terminal, in the report and in the card. */

/** Three or so digits, without an exponent where that reads well. */
export function figure(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '-∞';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) return value.toExponential(digits - 1).replace('e+', 'e');
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(decimals, 8));
}

/** Bytes in millions, without the unit. */
export function megabytes(bytes: number): string {
  const size = bytes / 1e6;
  return size >= 100 ? size.toFixed(1) : size >= 1 || bytes === 0 ? size.toFixed(2) : size.toFixed(Math.min(6, 1 - Math.floor(Math.log10(size))));
}

/** Bytes with their unit: MB is 10⁶ bytes, GB 10⁹. */
export const size = (bytes: number): string => (bytes >= 1e10 ? `${(bytes / 1e9).toFixed(1)} GB` : `${megabytes(bytes)} MB`);

/** `12 800` */
export const integer = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ' ');

export const plural = (count: number, one: string, many = `${one}s`): string => `${integer(count)} ${count === 1 ? one : many}`;

/** A share of 0..1; what is not quite all never reads as all. */
export function percent(share: number): string {
  const shown = (100 * share).toFixed(1);
  return `${shown === '100.0' ? (share === 1 ? '100' : '99.9+') : shown} %`;
}

export const decibels = (value: number): string => (value === Infinity ? 'exact' : `${value.toFixed(1)} dB`);

/** How many times as fast as the float model, from the ratio of times. */
export const times = (ratio: number): string => `${figure(1 / ratio, 2)}×`;

export const shape = (dims: readonly number[]): string => `[${dims.join(', ')}]`;

export function duration(seconds: number): string {
  if (seconds < 90) return `${seconds < 10 ? figure(seconds, 2) : seconds.toFixed(0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
