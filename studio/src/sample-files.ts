/** What the files of sample inputs are, by their names. */
import type { FileRef } from './protocol.ts';

export const isImage = (name: string): boolean => /\.(png|jpe?g)$/i.test(name);

/** Class labels, which lie beside the inputs as an array of their own. */
export const labelsIn = (files: readonly FileRef[]): FileRef | undefined => files.find(({ name }) => /label/i.test(name) && /\.npy$/i.test(name));
