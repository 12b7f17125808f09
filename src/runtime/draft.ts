/** Guesses at what follows a text, those who make them, and the decoders that judge them. */
import type { Decoder } from './generate.ts';
import type { Chance, SampleOptions } from './sample.ts';

/** Tokens that may follow a text, as a tree; a chain is a tree with one branch. */
export interface Draft {
  readonly tokens: readonly number[];
  /** Index of the token before each, which comes earlier in the list; −1 for the text. */
  readonly parents: readonly number[];
  /** What each token was drawn from, where chance chose it and not its likelihood alone; of chains only. */
  readonly drawnFrom?: readonly (readonly Chance[])[];
}

export const noDraft: Draft = { tokens: [], parents: [] };

/** Of each token of a tree: the tokens on the path to it, itself the last. */
export function pathsOf(parents: readonly number[]): number[][] {
  const paths: number[][] = [];
  parents.forEach((parent, i) => paths.push([...(parent < 0 ? [] : paths[parent]), i]));
  return paths;
}

export interface DraftOptions {
  /** Tokens at most. */
  readonly tokens: number;
  /** How the text is drawn. */
  readonly sampling: SampleOptions;
}

export interface Drafter {
  draft(text: readonly number[], options: DraftOptions): Draft | Promise<Draft>;
}

/** A decoder that looks at many ways to go on at once. */
export interface BranchingDecoder extends Decoder {
  readonly vocabulary: number;
  /** Tokens that go through the layers together at most. */
  readonly together: number;
  /** Logits [tokens, vocabulary] after each token of a tree behind the text; earlier trees are forgotten. */
  branch(tokens: readonly number[], parents: readonly number[]): Float32Array | Promise<Float32Array>;
  /** The tokens of the last tree along a path from its root become text, the others are forgotten. */
  keep(path: readonly number[]): void;
}
