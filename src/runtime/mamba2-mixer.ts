/** Mixers of Mamba-2: heads share B and C of their group, and a step and a decay each. */
import { mambaLayer } from '../models/mamba-backbone.ts';
import type { Mamba2Config } from '../models/mamba2-config.ts';
import { convChannels, projectionRows } from '../models/mamba2-weights.ts';
import { exp } from '../numeric/elementary.ts';
import { byPosition, rateOf, softplus, type MixerContext, type Mixers } from './mamba-mixer.ts';
import { padded } from './packed-matrix.ts';

export function mamba2Mixers(config: Mamba2Config, { arena, kernels, scans, weights }: MixerContext): Mixers {
  const { innerSize, kernel, heads, headDim: width, groups, stateSize: size, normGroup, epsilon, stepLimit: [low, high] } = config;
  const channels = convChannels(config);
  const [rows, inner] = [padded(projectionRows(config)), padded(innerSize)];
  const [convolved, y, steps, decays] = [channels, innerSize, heads, heads].map((count) => arena.take(4 * padded(count)));
  return {
    rows: projectionRows(config), stateFloats: (kernel - 1) * channels + heads * width * size,
    async layer(index) {
      const of = (part: string): string => mambaLayer(index, `mixer.${part}`);
      const conv = weights.placed(byPosition((await weights.values(of('conv1d.weight')))!, channels, kernel));
      const [convBias, direct, norm] = [await weights.vector(of('conv1d.bias')), await weights.vector(of('D')), await weights.vector(of('norm.weight'))];
      const stepBias = (await weights.values(of('dt_bias')))!;
      const rates = Float64Array.from((await weights.values(of('A_log')))!, rateOf);
      const [history, state] = [arena.take(4 * (kernel - 1) * channels + 16), arena.take(4 * heads * width * size)];
      /** Step sizes of a token, within their bounds, and what they leave of the state. */
      const stepsOf = (raw: number): void => {
        const [given, step, decay] = [arena.floats(raw, heads), arena.floats(steps, heads), arena.floats(decays, heads)];
        for (let h = 0; h < heads; h++) {
          step[h] = Math.min(high, Math.max(low, softplus(Math.fround(given[h] + stepBias[h]))));
          decay[h] = exp(Math.fround(step[h] * rates[h]));
        }
      };
      return {
        mix(projected, tokens, out) {
          for (let t = 0; t < tokens; t++) {
            const z = projected + 4 * t * rows;
            scans.convolveToken(z + 4 * innerSize, history, conv, convBias, channels, kernel, convolved);
            stepsOf(z + 4 * (innerSize + channels));
            const B = convolved + 4 * innerSize;
            scans.scanToken({ state, x: convolved, steps, decays, direct, B, C: B + 4 * groups * size, y }, { heads, groups, width, size });
            kernels.siluTimes(z, y, innerSize);
            for (let at = 0; at < innerSize; at += normGroup) kernels.rmsNorm(z + 4 * at, norm + 4 * at, normGroup, epsilon, out + 4 * (t * inner + at));
          }
        },
        clear() {
          arena.floats(history, (kernel - 1) * channels).fill(0);
          arena.floats(state, heads * width * size).fill(0);
        },
      };
    },
  };
}
