/** Mixers of Mamba-1: every channel has a step of its own, made through a bottleneck, and every value of its state a pace. */
import { mambaLayer } from '../models/mamba-backbone.ts';
import type { Mamba1Config } from '../models/mamba1-config.ts';
import { byPosition, chunk, rateOf, softplus, type MixerContext, type Mixers } from './mamba-mixer.ts';
import { padded } from './packed-matrix.ts';

export function mamba1Mixers({ innerSize: channels, kernel, stateSize: size, stepRank }: Mamba1Config, { arena, kernels, scans, weights, product }: MixerContext): Mixers {
  const [rows, inner, low, bottleneck] = [2 * channels, channels, stepRank + 2 * size, stepRank].map(padded);
  const [x, lows, narrow, steps] = [inner, low, bottleneck, inner].map((width) => arena.take(4 * chunk * width));
  const y = arena.take(4 * inner);
  return {
    rows: 2 * channels, stateFloats: (kernel - 1) * channels + channels * size,
    async layer(index) {
      const of = (part: string): string => mambaLayer(index, `mixer.${part}`);
      const conv = weights.placed(byPosition((await weights.values(of('conv1d.weight')))!, channels, kernel));
      const [convBias, direct] = [await weights.vector(of('conv1d.bias')), await weights.vector(of('D'))];
      const [toLow, toSteps] = [await weights.matrix(of('x_proj.weight')), await weights.matrix(of('dt_proj.weight'))];
      const stepBias = (await weights.values(of('dt_proj.bias')))!;
      const rates = weights.placed((await weights.values(of('A_log')))!.map(rateOf));
      const [history, state] = [arena.take(4 * (kernel - 1) * channels + 16), arena.take(4 * channels * size)];
      return {
        mix(projected, tokens, out) {
          for (let t = 0; t < tokens; t++) scans.convolveToken(projected + 4 * t * rows, history, conv, convBias, channels, kernel, x + 4 * t * inner);
          product(toLow, x, tokens, lows);
          for (let t = 0; t < tokens; t++) arena.floats(narrow + 4 * t * bottleneck, stepRank).set(arena.floats(lows + 4 * t * low, stepRank));
          product(toSteps, narrow, tokens, steps);
          for (let t = 0; t < tokens; t++) {
            const step = steps + 4 * t * inner;
            const given = arena.floats(step, channels);
            for (let c = 0; c < channels; c++) given[c] = softplus(Math.fround(given[c] + stepBias[c]));
            const B = lows + 4 * (t * low + stepRank);
            scans.scanChannels({ state, x: x + 4 * t * inner, steps: step, rates, direct, B, C: B + 4 * size, y }, channels, size);
            const z = projected + 4 * (t * rows + channels);
            kernels.siluTimes(z, y, channels);
            arena.floats(out + 4 * t * inner, channels).set(arena.floats(z, channels));
          }
        },
        clear() {
          arena.floats(history, (kernel - 1) * channels).fill(0);
          arena.floats(state, channels * size).fill(0);
        },
      };
    },
  };
}
