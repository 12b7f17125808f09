/**
 * fewbit in a page or a worker: makes trained networks small, or trains them to be, on files that the page holds.
 *
 *     import { quantizeFiles } from 'fewbit/web';
 *     const { files } = await quantizeFiles([{ name: file.name, blob: file }], { to: 'onnx', weights: 'int4/g32' });
 *     const url = URL.createObjectURL(files[0].blob);
 *
 * Without sample inputs the bytes are those that the same request gives in Node. Nothing leaves the page.
 */
export { FewbitError } from './errors.ts';
export { finetuneFiles, type WebFinetuned, type WebFinetuneOptions, type WebFinetuneRequest } from './jobs/finetune-web.ts';
export { planFiles, quantizeFiles, type WebCalibration, type WebFile, type WebHooks, type WebPlan, type WebRequest, type WebResult } from './jobs/quantize-web.ts';
export { opfsStore } from './jobs/opfs-store.ts';
export { openBlobs, openModelIn, type NamedBlob } from './jobs/source-web.ts';
export { blobStore, type WebStore } from './jobs/web-store.ts';
export type { Progress } from './jobs/progress.ts';
export type { PlannedOutput, TensorLine } from './jobs/result.ts';
export { ortWeb, type ExternalFiles, type OrtWebModule } from './engine/ort-web.ts';
export { attention, causal, type AttentionInputs, type AttentionOptions, type LowBitAttention, type Visible } from './engine/kernels/attention.ts';
export { formatHelp, formatNames, parseFormat } from './formats/index.ts';
export { blobSource, memorySink, memorySource, type ByteSink, type ByteSource, type Folder } from './files/source.ts';
export { openUrl, urlFolder } from './files/http.ts';
export { arrayDataset, imageFolder, openDataFile, splitDataset, tokenWindows, type Dataset } from './observe/data/index.ts';
export { loadHighsFrom } from './allocate/choose.ts';
