/** Detectors: mean average precision where boxes are known, SQNR of the raw output always. One row per head decoder. */
import type { Tensor } from '../../engine/tensor.ts';
import { numbersOf } from '../feeds.ts';
import { cocoScores, type Detection, type ImageResult } from '../metrics/detection.ts';
import { decodeFastestDet } from '../metrics/fastestdet.ts';
import { cosine, ratioInDecibels } from '../metrics/signal.ts';
import { summarize } from '../metrics/summary.ts';
import { metric } from '../score.ts';
import type { Task } from './task.ts';

type Decoder = (values: ArrayLike<number>, shape: readonly number[], sample: number, width: number, height: number) => Detection[];

function detect(name: string, decode: Decoder): Task {
  return {
    name: `detect:${name}`,
    summary: `${name} boxes: mAP50 and mAP50-95 (COCO, 101 points) where boxes are known`,
    labels: 'boxes',
    outputs: 'main',
    judge: () => {
      const float: ImageResult[] = [];
      const candidate: ImageResult[] = [];
      const angles: number[] = [];
      let signal = 0;
      let noise = 0;
      return {
        add(batch, floatOutputs, candidateOutputs, main) {
          const [a, b]: readonly Tensor[] = [floatOutputs[main.float], candidateOutputs[main.candidate]];
          const [x, y] = [numbersOf(a), numbersOf(b)];
          for (let i = 0; i < x.length; i++) { signal += x[i] ** 2; noise += (y[i] - x[i]) ** 2; }
          angles.push(cosine(x, y));
          if (batch.labels?.kind !== 'boxes') return;
          batch.labels.values.forEach(({ width, height, boxes }, sample) => {
            float.push({ truth: boxes, found: decode(x, a.shape, sample, width, height) });
            candidate.push({ truth: boxes, found: decode(y, b.shape, sample, width, height) });
          });
        },
        finish() {
          const error = { sqnr: ratioInDecibels(signal, noise), cosine: summarize(angles).mean };
          if (float.length === 0) return { error, metrics: [] };
          const [before, after] = [cocoScores(float), cocoScores(candidate)];
          return {
            error,
            metrics: [
              metric('mAP50', '%', 'higher', 100 * before.map50, 100 * after.map50),
              metric('mAP50-95', '%', 'higher', 100 * before.map5095, 100 * after.map5095),
            ],
          };
        },
      };
    },
  };
}

export const detectFastestDet = detect('fastestdet', (values, shape, sample, width, height) => {
  const [, channels, rows, cols] = shape;
  return decodeFastestDet(values, [channels, rows, cols], width, height, {}, sample * channels * rows * cols);
});
