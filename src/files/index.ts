/**
 * Model files, read lazily and written as a stream: ONNX, GGUF (in one file or several), safetensors, importance matrices.
 *
 *     const { tensors } = await openSafetensors(blobSource(file.name, file));
 *     const values = await readFloats(tensors.get('model.norm.weight')!);
 */
export { blobSource, memorySink, memorySource, type ByteSink, type ByteSource, type Folder } from './source.ts';
export { openUrl, urlFolder, type UrlOptions } from './http.ts';
export {
  blockTypes, byteLengthOf, copyTensor, elementCount, elementTypes, floatTensor, isBlockType, memoryTensor,
  type BlockType, type ElementType, type TensorOut, type TensorRef, type TensorType,
} from '../tensor-ref.ts';
export { readFloats } from './values.ts';
export { newestOpset, onnxBytes, openOnnx, openOnnxModel, writeOnnx, type OnnxModel, type OnnxWriteOptions } from './onnx.ts';
export { openSafetensors, writeSafetensors, type SafetensorsFile } from './safetensors.ts';
export { openGguf, type GgufArray, type GgufFile, type GgufValue } from './gguf.ts';
export { writeGguf } from './gguf-write.ts';
export { openGgufFiles, parseSplitName, splitName, writeGgufFiles, type GgufModelFiles } from './gguf-split.ts';
export { makeImatrix, mergeImatrices, readImatrix, writeImatrix, writeOldImatrix, type Imatrix, type ImatrixSums } from './imatrix.ts';
