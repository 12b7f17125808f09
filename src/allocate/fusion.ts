/**
 * Layers that read the same input, with the choice of which of them run as one: every partition of the group, one format
 * per part (Q-Palette, arXiv:2509.20214, section 4: {q, k, v} and {gate, up}). A part costs one start whatever it holds, so
 * that fusing saves time and gives up freedom. The options of a whole group go to `chooseOptions` as one group.
 */
import type { Candidate } from './choose.ts';

/** A format for one layer. */
export interface LayerCandidate {
  readonly format: string;
  readonly loss: number;
  readonly bits: number;
}

/** Seconds of one call for one token: a start per part, then so much for each weight of it. */
export interface Latency {
  readonly start: number;
  readonly perWeight: ReadonlyMap<string, number>;
}

export interface FusedLayer {
  readonly weights: number;
  /** The same formats in the same order in every layer of a group. */
  readonly candidates: readonly LayerCandidate[];
}

/** Uses are bits and seconds. */
export interface FusedCandidate extends Candidate {
  /** Format of each layer. */
  readonly formats: readonly string[];
  /** Layers that run as one, as indices into the group. */
  readonly parts: readonly (readonly number[])[];
}

/** All partitions of 0 … n−1: 1, 2, 5, 15 of them for 1 to 4. */
export function partitions(n: number): number[][][] {
  let all: number[][][] = [[]];
  for (let i = 0; i < n; i++) {
    all = all.flatMap((parts) => [...parts.map((_, at) => parts.map((part, j) => (j === at ? [...part, i] : part))), [...parts, [i]]]);
  }
  return all;
}

/** Every way to run a group of layers, those that another one beats in loss, bits and seconds left out. */
export const fusedCandidates = (layers: readonly FusedLayer[], latency: Latency): FusedCandidate[] => candidatesOf(layers, latency, partitions(layers.length));

/** The same with every layer on its own. */
export const separateCandidates = (layers: readonly FusedLayer[], latency: Latency): FusedCandidate[] => candidatesOf(layers, latency, [layers.map((_, i) => [i])]);

function candidatesOf(layers: readonly FusedLayer[], { start, perWeight }: Latency, ways: readonly (readonly (readonly number[])[])[]): FusedCandidate[] {
  const all = ways.flatMap((parts) => {
    let found: FusedCandidate[] = [{ loss: 0, uses: [0, 0], formats: Array<string>(layers.length).fill(''), parts }];
    for (const part of parts) {
      const own = layers[part[0]].candidates.map(({ format }, option) => ({
        format,
        loss: part.reduce((sum, i) => sum + layers[i].candidates[option].loss, 0),
        bits: part.reduce((sum, i) => sum + layers[i].candidates[option].bits, 0),
        seconds: start + part.reduce((sum, i) => sum + layers[i].weights, 0) * perWeight.get(format)!,
      }));
      found = undominated(found.flatMap((before) => own.map(({ format, loss, bits, seconds }) => ({
        parts, loss: before.loss + loss, uses: [before.uses[0] + bits, before.uses[1] + seconds],
        formats: before.formats.map((other, i) => (part.includes(i) ? format : other)),
      }))));
    }
    return found;
  });
  return undominated(all);
}

/** Those that no other is as good as in everything; of equal ones the first. */
function undominated(candidates: readonly FusedCandidate[]): FusedCandidate[] {
  const order = candidates.toSorted((a, b) => a.loss - b.loss || a.uses[0] - b.uses[0] || a.uses[1] - b.uses[1]);
  const kept: FusedCandidate[] = [];
  for (const one of order) if (!kept.some(({ uses }) => uses.every((use, k) => use <= one.uses[k]))) kept.push(one);
  return kept;
}
