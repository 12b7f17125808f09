/** Data that commands accept, and how it becomes model inputs. */
export * from './dataset.ts';
export * from './open.ts';
export { parseInput, inputText, inputRange, preprocess, rawPixels, type Preprocessing } from './preprocess.ts';
export { parsePreprocessorConfig } from './preprocessor-config.ts';
export { readNpy, writeNpy } from './npy.ts';
export { readNpz, writeNpz } from './npz.ts';
export { readIdx } from './idx.ts';
export { tokenWindows } from './text.ts';
export { imageFolder } from './folder.ts';
export { yoloFolder } from './detection.ts';
export { imagePairs } from './pairs.ts';
export { decodeImage, encodePng } from './image.ts';
export { readTar, type TarFile } from './tar.ts';
export { gunzipBounded } from './gzip.ts';
