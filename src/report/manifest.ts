/** The manifest beside every output: enough to say where its bytes come from, and to make them again. */
import type { Output, QuantizeResult, TensorLine } from '../jobs/result.ts';
import { tensorSqnr } from './layers.ts';

export interface Manifest {
  readonly manifest: 1;
  readonly tool: QuantizeResult['tool'];
  readonly output: Pick<Output, 'file' | 'target' | 'label' | 'recipe' | 'files' | 'fingerprint'>;
  readonly source: QuantizeResult['model'];
  readonly calibration: QuantizeResult['calibration'] | null;
  readonly evaluation: QuantizeResult['evaluation'] | null;
  readonly settings: QuantizeResult['settings'];
  readonly environment: QuantizeResult['environment'] & { readonly float: string };
  readonly verdict: Output['verdict'];
  readonly tensors: readonly (TensorLine & { /** dB. */ readonly sqnr?: number })[];
  readonly notes: readonly string[];
  readonly loader: Output['snippet'];
}

export function manifestOf(result: QuantizeResult, output: Output): Manifest {
  const { file, target, label, recipe, files, fingerprint, tensors, verdict, notes, snippet } = output;
  return {
    manifest: 1, tool: result.tool, output: { file, target, label, recipe, files, ...(fingerprint === undefined ? {} : { fingerprint }) }, source: result.model,
    calibration: result.calibration ?? null, evaluation: result.evaluation ?? null,
    settings: result.settings, environment: { ...result.environment, float: result.float.engine }, verdict,
    tensors: tensors.map((line) => {
      const sqnr = tensorSqnr(line);
      return sqnr === undefined ? line : { ...line, sqnr };
    }),
    notes, loader: snippet,
  };
}
