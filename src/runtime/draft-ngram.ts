/** Drafts without a model: what followed the last few tokens where they stood in the text before (prompt lookup). */
import { noDraft, type Draft, type Drafter, type DraftOptions } from './draft.ts';

export interface NgramOptions {
  /** Tokens that must have stood before, tried from the most to the least; defaults 4 and 2. */
  readonly most?: number;
  readonly least?: number;
  /** Tokens that are taken from each place; default 8. */
  readonly depth?: number;
  /** Places that the tree is made of, longest match and latest first; default 1, a chain. */
  readonly places?: number;
}

export class NgramDrafter implements Drafter {
  readonly #options: Required<NgramOptions>;

  constructor({ most = 4, least = 2, depth = 8, places = 1 }: NgramOptions = {}) { this.#options = { most, least, depth, places }; }

  draft(text: readonly number[], { tokens: room }: DraftOptions): Draft {
    const { most, least, depth, places } = this.#options;
    const tokens: number[] = [];
    const parents: number[] = [];
    const found = new Set<number>();
    for (let length = Math.min(most, text.length - 1); length >= least && found.size < places; length--) {
      for (let end = text.length - 1; end >= length && found.size < places && tokens.length < room; end--) {
        if (found.has(end) || !endsAlike(text, end, length)) continue;
        found.add(end);
        let parent = -1;
        for (let at = end; at < Math.min(end + depth, text.length); at++) {
          let node = tokens.findIndex((token, i) => token === text[at] && parents[i] === parent);
          if (node < 0) {
            if (tokens.length === room) break;
            node = tokens.push(text[at]) - 1;
            parents.push(parent);
          }
          parent = node;
        }
      }
    }
    return tokens.length === 0 ? noDraft : { tokens, parents };
  }
}

/** Whether the `length` tokens before `end` are the last ones of the text. */
function endsAlike(text: readonly number[], end: number, length: number): boolean {
  for (let i = 1; i <= length; i++) if (text[end - i] !== text[text.length - i]) return false;
  return true;
}
