/**
 * Super-resolution: outputs clipped and rounded to 8 bits, PSNR and SSIM on BT.601 luma without the border
 * (the benchmarks' protocol, border = scale factor), PSNR on RGB beside it. Images are judged one by one and averaged.
 */
import { defineErrors } from '../../errors.ts';
import type { Tensor } from '../../engine/tensor.ts';
import type { Image } from '../../observe/data/resize.ts';
import { numbersOf } from '../feeds.ts';
import { cropBorder, luma601, psnr, ssim, type Plane } from '../metrics/image.ts';
import { sqnr } from '../metrics/signal.ts';
import { pairedDifference, summarize } from '../metrics/summary.ts';
import { metric, type Metric } from '../score.ts';
import type { Task } from './task.ts';

const errors = defineErrors('upscale', {
  notAnImage: (f: { shape: string }) => `output [${f.shape}] is not RGB images [batch, 3, height, width] or [batch, height, width, 3]`,
  differentShapes: (f: { float: string; candidate: string }) => `outputs differ in shape: float [${f.float}], candidate [${f.candidate}]`,
  wrongSize: (f: { output: string; target: string }) => `output of ${f.output} pixels, target of ${f.target}`,
});

interface Picture { readonly width: number; readonly height: number; readonly planes: readonly Plane[] }

function picturesOf(tensor: Tensor, values: ArrayLike<number>, unit: number): Picture[] {
  const [batch, second, third, fourth] = tensor.shape;
  const first = second === 3;
  if (tensor.shape.length !== 4 || !(first || fourth === 3)) throw errors.notAnImage({ shape: tensor.shape.join(', ') });
  const [height, width] = first ? [third, fourth] : [second, third];
  const area = width * height;
  return Array.from({ length: batch }, (_, sample) => {
    const from = sample * 3 * area;
    const planes = [0, 1, 2].map((c) => ({
      width, height,
      values: Float64Array.from({ length: area }, (_, i) => toByte(values[from + (first ? c * area + i : i * 3 + c)] * unit)),
    }));
    return { width, height, planes };
  });
}

const toByte = (value: number) => (value <= 0 ? 0 : value >= 255 ? 255 : Math.floor(value + 0.5));

function targetOf(image: Image): Picture {
  const { width, height, channels } = image;
  const planes = [0, 1, 2].map((c) => ({
    width, height,
    values: Float64Array.from({ length: width * height }, (_, i) => image.data[i * channels + (channels === 3 ? c : 0)]),
  }));
  return { width, height, planes };
}

const luma = ({ width, height, planes: [red, green, blue] }: Picture): Plane => ({ width, height, values: luma601(red.values, green.values, blue.values) });

export const upscale: Task = {
  name: 'upscale',
  summary: 'super-resolution: PSNR on luma and RGB and SSIM to the targets, SQNR and PSNR to the float model',
  labels: 'images',
  outputs: 'main',
  judge: ({ border }) => {
    const floatImages = { y: [] as number[], rgb: [] as number[], ssim: [] as number[] };
    const otherImages = { y: [] as number[], rgb: [] as number[], ssim: [] as number[] };
    const noise: number[] = [];
    const toFloat: number[] = [];
    return {
      add(batch, floatOutputs, candidateOutputs, main) {
        const [a, b] = [floatOutputs[main.float], candidateOutputs[main.candidate]];
        if (a.shape.join() !== b.shape.join()) throw errors.differentShapes({ float: a.shape.join(', '), candidate: b.shape.join(', ') });
        const values = numbersOf(a);
        const others = numbersOf(b);
        // Networks that work in 0..1 give pixels of at most about 1.
        let top = 0;
        for (let i = 0; i < values.length; i++) if (values[i] > top) top = values[i];
        const unit = top <= 4 ? 255 : 1;
        const [floats, candidates] = [picturesOf(a, values, unit), picturesOf(b, others, unit)];
        const size = values.length / floats.length;
        floats.forEach((float, sample) => {
          const candidate = candidates[sample];
          const part = (all: ArrayLike<number>) => Float64Array.from({ length: size }, (_, i) => all[sample * size + i]);
          noise.push(sqnr(part(values), part(others)));
          toFloat.push(psnr(float.planes, candidate.planes));
          if (batch.labels?.kind !== 'images') return;
          const target = targetOf(batch.labels.values[sample]);
          if (target.width !== float.width || target.height !== float.height) {
            throw errors.wrongSize({ output: `${float.width}x${float.height}`, target: `${target.width}x${target.height}` });
          }
          const input = Object.values(batch.feeds)[0];
          const inputWidth = input.shape[1] === 3 ? input.shape[3] : input.shape[2];
          const cut = border ?? Math.floor(float.width / inputWidth);
          const luminance = cropBorder(luma(target), cut);
          for (const [picture, list] of [[float, floatImages], [candidate, otherImages]] as const) {
            const own = cropBorder(luma(picture), cut);
            list.y.push(psnr([luminance], [own]));
            list.ssim.push(ssim(luminance, own));
            list.rgb.push(psnr(target.planes.map((plane) => cropBorder(plane, cut)), picture.planes.map((plane) => cropBorder(plane, cut))));
          }
        });
      },
      finish() {
        const metrics: Metric[] = [];
        const pair = (name: string, unit: Metric['unit'], float: number[], candidate: number[]) => {
          const { standardError } = pairedDifference(float, candidate);
          // A perfect image has an infinite PSNR, and its difference no error.
          return metric(name, unit, 'higher', summarize(float).mean, summarize(candidate).mean, Number.isFinite(standardError) ? standardError : undefined);
        };
        if (floatImages.y.length > 0) {
          metrics.push(pair('psnr-y', 'dB', floatImages.y, otherImages.y));
          metrics.push(pair('psnr-rgb', 'dB', floatImages.rgb, otherImages.rgb));
          metrics.push(pair('ssim', '', floatImages.ssim, otherImages.ssim));
        }
        return { error: { sqnr: summarize(noise).mean, psnrToFloat: summarize(toFloat).mean }, metrics };
      },
    };
  },
};
