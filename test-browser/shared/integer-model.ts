/** What a network in integers alone answers: in Node and in a page the same. */
import { fastestQdqBuild, type QdqBuild } from '../../src/engine/kernels/qdq.ts';
import { readQdqNetwork } from '../../src/engine/qdq/read.ts';
import { QdqRunner } from '../../src/engine/qdq/run.ts';
import { openOnnx } from '../../src/files/onnx.ts';
import { memorySource } from '../../src/files/source.ts';
import { openIntegerModel } from '../../src/runtime/index.ts';

/** Scores of the first samples of an .npy of float32, [samples, 49, 10]. */
export async function scoresOf(model: Uint8Array, inputs: Float32Array, samples: number): Promise<number[]> {
  const opened = await openIntegerModel(model);
  const [{ name }] = opened.inputs;
  const width = inputs.length / samples;
  const scores: number[] = [];
  for (let i = 0; i < samples; i++) {
    const found = await opened.run({ [name]: { type: 'f32', shape: [1, 1, 49, 10], data: inputs.subarray(i * width, (i + 1) * width) } });
    scores.push(...Object.values(found)[0].data as Float32Array);
  }
  return scores;
}

export const scoresAt = async (model: string, inputs: readonly number[], samples: number): Promise<number[]> =>
  scoresOf(new Uint8Array(await (await fetch(new URL(model, location.origin))).arrayBuffer()), Float32Array.from(inputs), samples);

export const buildHere = (): QdqBuild => fastestQdqBuild();

/** All outputs of a network in QDQ form in a build, one behind the other. */
export async function outputsOf(model: Uint8Array, build: QdqBuild, shape: readonly number[], inputs: Float32Array): Promise<number[]> {
  const runner = await QdqRunner.open(await readQdqNetwork(await openOnnx(memorySource('model.onnx', model))), { build });
  const found = await runner.run({ x: { type: 'f32', shape, data: inputs } });
  return Object.values(found).flatMap(({ data }) => [...(data as Float32Array)]);
}

export const outputsAt = async (model: string, build: QdqBuild, shape: readonly number[], inputs: readonly number[]): Promise<number[]> =>
  outputsOf(new Uint8Array(await (await fetch(new URL(model, location.origin))).arrayBuffer()), build, shape, Float32Array.from(inputs));
