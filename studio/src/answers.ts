/** What an output says, for people: the likeliest classes, or a picture and how it differs from the float model's. */
import type { Tensor } from '../../src/engine/tensor.ts';
import { numbersOf } from '../../src/evaluate/feeds.ts';
import { psnr } from '../../src/evaluate/metrics/image.ts';
import { areProbabilities, logProbabilities, logSoftmax } from '../../src/numeric/distribution.ts';
import { encodePng } from '../../src/observe/data/image.ts';
import type { SeenSample } from './protocol.ts';

type Answer = Omit<SeenSample['answers'][number], 'model'>;

/** Classes that are shown. */
const shown = 5;
/** A difference of one grey level would not be seen. */
const amplified = 8;
/** More values in a row than any classifier has. */
const mostClasses = 100_000;

/** The first sample of an output; undefined where it is neither classes nor an image. */
export function answerOf(output: Tensor, reference: Tensor, categories?: readonly string[]): Answer | undefined {
  const image = bytesOf(output, scaleOf(reference));
  if (image !== undefined) {
    const before = bytesOf(reference, scaleOf(reference))!;
    const png = (data: Uint8Array<ArrayBuffer>): Blob => new Blob([encodePng({ ...image, data }) as Uint8Array<ArrayBuffer>], { type: 'image/png' });
    const plane = (data: Uint8Array) => [{ width: image.width * image.channels, height: image.height, values: data }];
    return output === reference ? { image: png(image.data) } : {
      image: png(image.data), psnr: psnr(plane(before.data), plane(image.data)),
      difference: png(image.data.map((value, i) => Math.min(255, amplified * Math.abs(value - before.data[i])))),
    };
  }
  const width = output.shape.at(-1) ?? 0;
  if (output.shape.length > 2 || width < 2 || width > mostClasses) return undefined;
  const values = numbersOf(output);
  const logs = areProbabilities(values, width) ? logProbabilities(values, 0, width) : logSoftmax(values, 0, width);
  const order = Array.from({ length: width }, (_, i) => i).sort((a, b) => logs[b] - logs[a]).slice(0, shown);
  return { classes: order.map((i) => ({ label: categories?.[i] ?? `class ${i}`, probability: Math.exp(logs[i]) })) };
}

/** Networks that work in 0..1 give pixels of at most about 1. */
function scaleOf(output: Tensor): number {
  let top = 0;
  const values = numbersOf(output);
  for (let i = 0; i < values.length; i++) if (values[i] > top) top = values[i];
  return top <= 4 ? 255 : 1;
}

interface Bytes { readonly width: number; readonly height: number; readonly channels: 1 | 3; readonly data: Uint8Array<ArrayBuffer> }

/** An output [batch, channels, height, width] or [batch, height, width, channels] of grey or colour as an 8-bit image. */
function bytesOf(output: Tensor, scale: number): Bytes | undefined {
  const [, a, b, c] = output.shape;
  const first = a === 1 || a === 3;
  if (output.shape.length !== 4 || !(first || c === 1 || c === 3)) return undefined;
  const [channels, height, width] = first ? [a, b, c] : [c, a, b];
  if (height < 8 || width < 8) return undefined;
  const values = numbersOf(output);
  const area = width * height;
  const data = new Uint8Array(channels * area);
  for (let i = 0; i < area; i++) for (let k = 0; k < channels; k++) data[i * channels + k] = Math.max(0, Math.min(255, Math.floor(values[first ? k * area + i : i * channels + k] * scale + 0.5)));
  return { width, height, channels: channels as 1 | 3, data };
}
