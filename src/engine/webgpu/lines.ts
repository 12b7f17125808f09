/** Source that repeats: 0 … count − 1, and a line for each of them. */

export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
export const each = (count: number, line: (i: number) => string): string => range(count).map(line).join('\n');
