/** ONNX models: read lazily, written as a stream. */
export { openOnnx, openOnnxModel, type OnnxModel } from './onnx-read.ts';
export { onnxBytes, writeOnnx, type OnnxWriteOptions } from './onnx-write.ts';
export { newestOpset } from './onnx-types.ts';
