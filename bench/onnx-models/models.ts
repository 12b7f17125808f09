/** Every ONNX model of the assets, what calibrates it, what judges it, and how far static int8 may fall. */
import { join } from 'node:path';
import type { QuantizeRequest } from '../../src/jobs/settings.ts';
import * as data from './assets.ts';

export interface BenchModel {
  readonly name: string;
  /** Relative to the assets. */
  readonly file: string;
  /** Data, and how much of it; made when the model's turn comes. */
  request(places: data.Places): Partial<QuantizeRequest> | Promise<Partial<QuantizeRequest>>;
  /** How far the metric may fall: percentage points, or dB. */
  readonly bound?: { readonly metric: string; readonly drop: number };
  /** Seeds of the split, where static int8 is judged on several. */
  readonly seeds?: readonly number[];
}

/** Nothing of the calibration data is judged on: one set is split, or there are two. */
export const models: readonly BenchModel[] = [
  {
    name: 'ds-cnn', file: 'mlperf-tiny/kws-dscnn/derived_kws_dscnn.onnx', bound: { metric: 'top-1', drop: 0.5 }, seeds: [0, 1, 2],
    request: ({ assets }) => ({
      data: join(assets, 'mlperf-tiny/kws-dscnn/derived_kws_inputs.npy'), labels: join(assets, 'mlperf-tiny/kws-dscnn/derived_kws_labels.npy'),
      calibrationSamples: 200, evaluationSamples: 800,
    }),
  },
  {
    name: 'resnet20', file: 'cnn-resnet-cifar10/derived_resnet20.onnx', bound: { metric: 'top-1', drop: 0.5 },
    request: async (places) => ({ data: await data.cifarNormalised(places), calibrationSamples: 200, evaluationSamples: 1800 }),
  },
  {
    name: 'resnet8', file: 'mlperf-tiny/resnet8-cifar10/derived_resnet8.onnx',
    request: async (places) => ({ data: await data.cifarRaw(places), calibrationSamples: 200, evaluationSamples: 1800 }),
  },
  {
    // 2 of the 128 images.
    name: 'vww', file: 'mlperf-tiny/vww-mobilenetv1-0.25/derived_vww_mobilenetv1_0.25.onnx', bound: { metric: 'top-1', drop: 100 * 2 / 128 },
    request: (places) => ({ data: data.imagenet(places), evalData: data.coco(places), input: 'rgb 96, /255', calibrationSamples: 200 }),
  },
  {
    name: 'squeezenet', file: 'imagenet-squeezenet-deepcompression/derived_squeezenet_v1.0_dc.onnx', bound: { metric: 'top-1', drop: 1 },
    request: (places) => ({ data: data.imagenet(places), input: 'bgr 227 crop=232, mean=104/117/123', calibrationSamples: 100, evaluationSamples: 900 }),
  },
  {
    name: 'rfdn', file: 'sr-rfdn/derived_rfdn_x4.onnx', bound: { metric: 'psnr-y', drop: 0.3 },
    request: (places) => ({ data: data.kodak(places), evalData: data.set5(places), task: 'upscale', input: 'rgb' }),
  },
  {
    name: 'fastestdet', file: 'det-fastestdet/example/onnx-runtime/FastestDet.onnx', bound: { metric: 'mAP50', drop: 1 },
    request: (places) => ({ data: data.imagenet(places), evalData: data.coco(places), task: 'detect:fastestdet', input: 'bgr 352 area, /255', calibrationSamples: 128 }),
  },
  // No faces are labelled in these images: their outputs are compared with float.
  ...['version-RFB-320', 'version-slim-320'].map((file): BenchModel => ({
    name: `ultraface-${file.slice(8, -4).toLowerCase()}`, file: `det-ultraface/${file}.onnx`,
    request: (places) => ({ data: data.imagenet(places), evalData: data.coco(places), task: 'generic', input: 'rgb 320x240, mean=127, std=128', calibrationSamples: 64 }),
  })),
  {
    name: 'mnist', file: 'onnx-misc/mnist.onnx',
    request: (places) => ({ data: data.mnistRaw(places), calibrationSamples: 200, evaluationSamples: 2000 }),
  },
  {
    name: 'vit-cifar', file: 'host-vit-cifar/model.onnx',
    request: async (places) => ({ data: await data.cifarSigned(places), evalData: await data.cifarHeldOut(places), calibrationSamples: 200 }),
  },
  {
    name: 'dit-mnist', file: 'host-dit-mnist/model.onnx',
    request: (places) => ({ data: data.noisedTrained(places), evalData: data.noisedHeldOut(places), task: 'generic', calibrationSamples: 256 }),
  },
  {
    name: 'dit-classifier', file: 'host-dit-mnist/classifier.onnx',
    request: (places) => ({ data: data.mnistTrained(places), evalData: data.mnistHeldOut(places), calibrationSamples: 200 }),
  },
];
