/** The fixtures of NumPy and Pillow; fixtures/README.md says how they were made. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Image } from '../../../src/observe/data/resize.ts';

const read = (file: string) => JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures', file), 'utf8'));
export const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'));

export interface ArrayFixture { readonly file: string; readonly shape: readonly number[]; readonly values: readonly (number | string)[] }
export const arrays: Readonly<Record<string, ArrayFixture>> = read('arrays.json');

interface Images {
  readonly picture: string;
  readonly width: number;
  readonly height: number;
  readonly images: Readonly<Record<string, { readonly file: string; readonly rgb?: string; readonly grey?: string }>>;
  readonly quadrants: { readonly file: string; readonly rgb: string };
  readonly resized: Readonly<Record<string, string>>;
}
const images: Images = read('images.json');

export const picture: Image = { width: images.width, height: images.height, channels: 3, data: bytesOf(images.picture) };
export const imageNames: readonly string[] = Object.keys(images.images);
export const imageFile = (name: string): Uint8Array => bytesOf(images.images[name].file);

/** RGB as Pillow decodes the file. */
export function imagePixels(name: string): Uint8Array {
  const { rgb, grey } = images.images[name];
  if (grey !== undefined) return Uint8Array.from([...bytesOf(grey)].flatMap((value) => [value, value, value]));
  return rgb === undefined ? picture.data : bytesOf(rgb);
}

/** A JPEG of 32 × 32 pixels whose colour is flat in each quarter. */
export const quadrants = { file: bytesOf(images.quadrants.file), pixels: bytesOf(images.quadrants.rgb) };

export const resizedNames: readonly string[] = Object.keys(images.resized);
export const resizedPixels = (name: string): Uint8Array => bytesOf(images.resized[name]);

/** Largest and mean absolute difference of two rows of bytes. */
export function difference(found: Uint8Array, expected: Uint8Array): { readonly worst: number; readonly mean: number } {
  if (found.length !== expected.length) throw new Error(`${found.length} bytes for ${expected.length}`);
  let worst = 0;
  let sum = 0;
  found.forEach((value, i) => {
    const apart = Math.abs(value - expected[i]);
    worst = Math.max(worst, apart);
    sum += apart;
  });
  return { worst, mean: sum / found.length };
}
