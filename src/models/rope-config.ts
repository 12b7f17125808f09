/** The rotary part of config.json, in the older spelling (`rope_theta`, `rope_scaling`) and the newer (`rope_parameters`). */
import { errors, flag, limits, real, shown, type RawConfig } from './config-values.ts';
import { yarnAttentionFactor, type Rope } from './rope.ts';

const isRecord = (value: unknown): value is RawConfig => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Bases lie between 10^4 and 10^8 in published models; factors below 2^10. */
const thetas = [1, 1e12] as const;
const factors = [1e-3, 1e6] as const;

/** `theta` is the family's default base. */
export function readRope(raw: RawConfig, theta: number, maxPositions: number): Rope {
  const given = raw.rope_parameters ?? raw.rope_scaling ?? {};
  if (!isRecord(given)) throw errors.feature({ key: raw.rope_parameters === undefined ? 'rope_scaling' : 'rope_parameters', value: shown(given) });
  const nested = Object.keys(given).find((key) => isRecord(given[key]));
  if (nested !== undefined) throw errors.feature({ key: `rope_parameters.${nested}`, value: 'for a part of the layers' });
  const base = real({ rope_theta: given.rope_theta ?? raw.rope_theta }, 'rope_theta', ...thetas, theta);
  const partial = given.partial_rotary_factor ?? 1;
  if (partial !== 1) throw errors.feature({ key: 'partial_rotary_factor', value: shown(partial) });
  const original = (): number => real(
    { original_max_position_embeddings: given.original_max_position_embeddings ?? raw.original_max_position_embeddings },
    'original_max_position_embeddings', 1, limits.positions, maxPositions,
  );
  const kind = given.rope_type ?? given.type ?? 'default';
  switch (kind) {
    case 'default': return { kind: 'default', theta: base };
    case 'linear': return { kind: 'linear', theta: base, factor: real(given, 'factor', ...factors) };
    case 'llama3': return {
      kind: 'llama3', theta: base, factor: real(given, 'factor', ...factors), originalPositions: original(),
      ...ramp(real(given, 'low_freq_factor', ...factors), real(given, 'high_freq_factor', ...factors)),
    };
    case 'yarn': {
      const originalPositions = original();
      const factor = real(given, 'factor', ...factors, maxPositions / originalPositions);
      const mscale = real(given, 'mscale', 0, 100, 0);
      const mscaleAll = real(given, 'mscale_all_dim', 0, 100, 0);
      const inferred = mscale > 0 && mscaleAll > 0 ? yarnAttentionFactor(factor, mscale) / yarnAttentionFactor(factor, mscaleAll) : yarnAttentionFactor(factor);
      return {
        kind: 'yarn', theta: base, factor, originalPositions, truncate: flag(given, 'truncate', true),
        betaFast: real(given, 'beta_fast', ...factors, 32), betaSlow: real(given, 'beta_slow', ...factors, 1),
        attentionFactor: real(given, 'attention_factor', ...factors, inferred),
      };
    }
    // `dynamic` and `longrope` choose frequencies by the length of the sequence, which a cached key cannot follow.
    default: throw errors.feature({ key: 'rope_type', value: shown(kind) });
  }
}

function ramp(lowFreqFactor: number, highFreqFactor: number): { lowFreqFactor: number; highFreqFactor: number } {
  if (!(lowFreqFactor < highFreqFactor)) throw errors.value({ key: 'low_freq_factor', value: String(lowFreqFactor), allowed: `below high_freq_factor ${highFreqFactor}` });
  return { lowFreqFactor, highFreqFactor };
}
