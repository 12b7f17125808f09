/** Output held to a form: which tokens may come next, and whether the text may end. */
import type { Tokenizer } from '../models/tokenizer.ts';
import { jsonAcceptor, type Place } from './json-acceptor.ts';
import type { Shape } from './json-schema.ts';

export interface Constraint {
  /** Whether a token may come next, with so many tokens left after it to complete the text. */
  allows(id: number, left: number): boolean;
  /** Goes on behind a token that is allowed. */
  take(id: number): void;
  readonly mayEnd: boolean;
  /** The text must end here. */
  readonly complete: boolean;
}

const textsOf = new WeakMap<Tokenizer, Map<number, string>>();

/** What a token adds to a text; empty for special tokens and ids without a token. */
function tokenText(tokenizer: Tokenizer, id: number): string {
  const known = textsOf.get(tokenizer) ?? new Map<number, string>();
  textsOf.set(tokenizer, known);
  let text = known.get(id);
  if (text === undefined) {
    const decode = (ids: readonly number[]): string => tokenizer.decode(ids, { skipSpecialTokens: true, cleanUpSpaces: false });
    // Some tokenizers drop the space of the first token; this one is not the first.
    const before = tokenizer.encode('a', { addSpecialTokens: false }).slice(-1);
    text = id < tokenizer.vocabulary ? decode([...before, id]).slice(decode(before).length) : '';
    known.set(id, text);
  }
  return text;
}

/**
 * JSON of a shape. While enough tokens are left for it, the text is always completed: no token is taken after which fewer
 * are left than the shortest ending has characters.
 */
export function jsonConstraint(tokenizer: Tokenizer, shape: Shape): Constraint {
  let place = jsonAcceptor(shape);
  const after = new Map<Place, Map<number, Place | undefined>>();
  const follow = (id: number): Place | undefined => {
    let known = after.get(place);
    if (known === undefined) after.set(place, known = new Map());
    if (!known.has(id)) {
      const text = tokenText(tokenizer, id);
      let to: Place | undefined = text === '' ? undefined : place;
      for (let i = 0; to !== undefined && i < text.length; i++) to = to.step(text[i]);
      known.set(id, to);
    }
    return known.get(id);
  };
  return {
    allows(id, left) {
      const to = follow(id);
      // Where there never was room for the shortest ending, any token will do.
      return to !== undefined && (to.need <= left || place.need > left + 1);
    },
    take(id) {
      const to = follow(id);
      if (to !== undefined) place = to;
    },
    get mayEnd() { return place.need === 0; },
    get complete() { return place.complete; },
  };
}
