/** Drafts by a small model as a tree: passes over the most likely paths, then the most likely of all that was seen (as in EAGLE-2). */
import { logSoftmax } from '../numeric/distribution.ts';
import { largest } from '../numeric/largest.ts';
import { noDraft, type BranchingDecoder, type Draft, type Drafter, type DraftOptions } from './draft.ts';
import { PrefixCache } from './prefix-cache.ts';

export interface TreeOptions {
  /** Times that the model looks further; default 3. */
  readonly passes?: number;
  /** Paths that are followed in each pass, and tokens that are seen behind each; default 4. */
  readonly width?: number;
}

interface Node { readonly id: number; readonly parent: Node | undefined; readonly score: number; readonly depth: number }

export class TreeDrafter implements Drafter {
  readonly #decoder: BranchingDecoder;
  readonly #options: Required<TreeOptions>;
  /** Knows what the decoder holds of the text. */
  readonly #cache: PrefixCache;

  constructor(decoder: BranchingDecoder, { passes = 3, width = 4 }: TreeOptions = {}) {
    this.#decoder = decoder;
    this.#cache = new PrefixCache(decoder);
    this.#options = { passes, width };
  }

  async draft(text: readonly number[], { tokens: room }: DraftOptions): Promise<Draft> {
    const decoder = this.#decoder;
    const { passes, width } = this.#options;
    if (text.length > decoder.context) return noDraft;
    const logits = await this.#cache.feed(text.slice(this.#cache.begin(text)));
    const seen = children(undefined, logits, width);
    const expanded: Node[] = [];
    let fresh: readonly Node[] = seen;
    for (let pass = 1; pass < passes; pass++) {
      const followed = best(fresh, width);
      if (expanded.length + followed.length > Math.min(decoder.together, decoder.context - decoder.position)) break;
      expanded.push(...followed);
      const rows = await decoder.branch(expanded.map(({ id }) => id), parentsIn(expanded));
      decoder.keep([]);
      fresh = followed.flatMap((node, i) => {
        const row = expanded.length - followed.length + i;
        return children(node, rows.subarray(row * decoder.vocabulary, (row + 1) * decoder.vocabulary), width);
      });
      seen.push(...fresh);
    }
    const kept = best(seen, room);
    return { tokens: kept.map(({ id }) => id), parents: parentsIn(kept) };
  }
}

const parentsIn = (nodes: readonly Node[]): number[] => nodes.map(({ parent }) => (parent === undefined ? -1 : nodes.indexOf(parent)));

/** The likeliest paths. One is never likelier than its beginning, so that what a node follows is kept with it, and comes before it. */
const best = (nodes: readonly Node[], count: number): Node[] => nodes.toSorted((a, b) => b.score - a.score || a.depth - b.depth).slice(0, count);

function children(parent: Node | undefined, logits: Float32Array, count: number): Node[] {
  const chances = logSoftmax(logits, 0, logits.length);
  return largest(chances, count).map((id) => ({ id, parent, score: (parent?.score ?? 0) + chances[id], depth: (parent?.depth ?? 0) + 1 }));
}
