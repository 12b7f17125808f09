/**
 * Reads JSON character by character and says which may come next under a schema. States are values that are made once and
 * compared by identity: a place in a text is a set of them, and both remember where characters lead.
 */
import { maxDigits, type ObjectShape, type Shape } from './json-schema.ts';
import { asciiLength, textTree, type TextNode, type TextTree } from './text-tree.ts';

/** One way in which the text so far can go on. */
interface State {
  readonly id: number;
  /** Fewest characters that complete the text. */
  readonly need: number;
  /** Open arrays and objects. */
  readonly depth: number;
  step(character: string): readonly State[];
}

/** All ways in which the text so far can go on. */
export interface Place {
  /** Fewest characters that complete the text; 0 where it may end. */
  readonly need: number;
  /** The text is complete, and nothing may follow. */
  readonly complete: boolean;
  /** Where a UTF-16 unit leads; undefined where it must not come. */
  step(character: string): Place | undefined;
}

/** Characters that indent a line: models that may write any number of blanks sometimes write nothing else. */
const maxIndent = 20;
/** Open arrays and objects where the schema sets no limit. */
const maxDepth = 32;
const maxExponent = 2;

const isDigit = (c: string): boolean => c >= '0' && c <= '9';
const none: readonly State[] = [];

/** Texts of which one comes: which are meant, what completing takes from each node of their tree, and the state behind a text. */
interface Choice {
  readonly key: string;
  readonly fewest: Float64Array;
  /** Added to `fewest`. */
  readonly more: number;
  readonly depth: number;
  then(text: number): State;
}

type Phase = 'minus' | 'zero' | 'whole' | 'point' | 'fraction' | 'e' | 'sign' | 'exponent';

const anything: readonly Shape[] = [
  { kind: 'string' }, { kind: 'number', integer: false }, { kind: 'texts', texts: ['true', 'false', 'null'] },
  { kind: 'array', items: { kind: 'anything' }, min: 0, max: Infinity }, { kind: 'object', properties: [], others: { kind: 'anything' } },
];

class States {
  readonly #made = new Map<string, State>();
  readonly #shapes = new Map<Shape, { readonly id: number; readonly need: number }>();
  readonly #trees = new Map<Shape, { readonly tree: TextTree; readonly fewest: Float64Array }>();
  readonly end: State = { id: 0, need: 0, depth: 0, step: () => none };

  #intern(key: string, make: () => Omit<State, 'id'>): State {
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const state = { id: this.#made.size + 1, ...make() };
    this.#made.set(key, state);
    return state;
  }

  /** A number that stands for a shape in keys, and the fewest characters of its values. */
  #facts(shape: Shape): { readonly id: number; readonly need: number } {
    let facts = this.#shapes.get(shape);
    if (facts === undefined) {
      facts = { id: this.#shapes.size, need: this.#shortest(shape) };
      this.#shapes.set(shape, facts);
    }
    return facts;
  }

  #shortest(shape: Shape): number {
    switch (shape.kind) {
      case 'anything': case 'number': return 1;
      case 'string': return 2;
      case 'texts': return this.#treeOf(shape).fewest[0];
      case 'array': return 2 + shape.min * this.#facts(shape.items).need + Math.max(0, shape.min - 1);
      case 'object': {
        const { sum, count } = this.#missing(shape, '');
        return 2 + sum + Math.max(0, count - 1);
      }
      case 'either': return Math.min(...shape.of.map((one) => this.#facts(one).need));
      default: return shape satisfies never;
    }
  }

  /** A state between two parts, where one space may stand, or a line may end and the next be indented. `blanks` counts from the line's end; 0 is behind the space. */
  #between(key: string, need: number, depth: number, step: (c: string) => readonly State[], blanks?: number): State {
    const after = (count: number): readonly State[] => [this.#between(key, need, depth, step, count)];
    return this.#intern(`${key} ${blanks ?? ''}`, () => ({
      need, depth,
      step: (c) => {
        if (blanks === undefined && (c === ' ' || c === '\n')) return after(c === ' ' ? 0 : 1);
        if (blanks !== undefined && blanks > 0 && blanks <= maxIndent && (c === ' ' || c === '\t')) return after(blanks + 1);
        return step(c);
      },
    }));
  }

  value(shape: Shape, rest: State): State {
    const { id, need } = this.#facts(shape);
    return this.#between(`value ${id} ${rest.id}`, need + rest.need, rest.depth, (c) => this.#begin(shape, rest, c));
  }

  #begin(shape: Shape, rest: State, c: string): readonly State[] {
    switch (shape.kind) {
      case 'anything': return anything.flatMap((one) => (rest.depth >= maxDepth && (one.kind === 'array' || one.kind === 'object') ? [] : this.#begin(one, rest, c)));
      case 'either': return shape.of.flatMap((one) => this.#begin(one, rest, c));
      case 'string': return c === '"' ? [this.#string(rest)] : none;
      case 'number': {
        const signed = this.#number('minus', 0, shape.integer, rest);
        if (c === '-') return shape.least === undefined ? [signed] : none;
        return c === '0' && shape.least === 1 ? none : signed.step(c);
      }
      case 'texts': {
        const { tree, fewest } = this.#treeOf(shape);
        return this.#choose(tree.root, { key: `texts ${this.#facts(shape).id} ${rest.id}`, fewest, more: rest.need, depth: rest.depth, then: () => rest }, c);
      }
      case 'array': return c === '[' ? [this.#firstItem(shape, rest)] : none;
      case 'object': return c === '{' ? [this.#firstName(shape, rest)] : none;
      default: return shape satisfies never;
    }
  }

  /** The inside of a string, and the quote that ends it. */
  #string(rest: State): State {
    const self: State = this.#intern(`string ${rest.id}`, () => ({
      need: 1 + rest.need, depth: rest.depth, step: (c) => (c === '"' ? [rest] : c === '\\' ? [this.#escape(0, rest)] : c >= ' ' ? [self] : none),
    }));
    return self;
  }

  /** After a backslash, or before so many hexadecimal digits. */
  #escape(digits: number, rest: State): State {
    return this.#intern(`escape ${digits} ${rest.id}`, () => ({
      need: Math.max(1, digits) + 1 + rest.need, depth: rest.depth,
      step: (c) => {
        if (digits === 0) return c === 'u' ? [this.#escape(4, rest)] : '"\\/bfnrt'.includes(c) ? [this.#string(rest)] : none;
        if (!/[0-9a-fA-F]/.test(c)) return none;
        return [digits === 1 ? this.#string(rest) : this.#escape(digits - 1, rest)];
      },
    }));
  }

  /** Within a number, after so many digits of a part; one that may end goes on with what follows it. */
  #number(phase: Phase, digits: number, integer: boolean, rest: State): State {
    const open = phase === 'minus' || phase === 'point' || phase === 'e' || phase === 'sign';
    return this.#intern(`number ${phase} ${digits} ${integer} ${rest.id}`, () => ({
      need: (open ? 1 : 0) + rest.need, depth: rest.depth,
      step: (c) => {
        const to = (next: Phase, count: number): readonly State[] => [this.#number(next, count, integer, rest)];
        const digit = isDigit(c);
        switch (phase) {
          case 'minus': return c === '0' ? to('zero', 0) : digit ? to('whole', 1) : none;
          case 'point': return digit ? to('fraction', 1) : none;
          case 'e': return digit ? to('exponent', 1) : c === '+' || c === '-' ? to('sign', 0) : none;
          case 'sign': return digit ? to('exponent', 1) : none;
          case 'exponent': return digit ? (digits < maxExponent ? to('exponent', digits + 1) : none) : rest.step(c);
          case 'zero': case 'whole': case 'fraction':
            if (digit) return phase !== 'zero' && digits < maxDigits ? to(phase, digits + 1) : none;
            if (!integer && c === '.' && phase !== 'fraction') return to('point', 0);
            if (!integer && (c === 'e' || c === 'E')) return to('e', 0);
            return rest.step(c);
          default: return phase satisfies never;
        }
      },
    }));
  }

  /** Texts of a shape, or names of its properties with the quote that ends them, and what each takes by itself. */
  #treeOf(shape: (Shape & { kind: 'texts' }) | ObjectShape): { readonly tree: TextTree; readonly fewest: Float64Array } {
    let found = this.#trees.get(shape);
    if (found === undefined) {
      const tree = textTree(shape.kind === 'texts' ? shape.texts : shape.properties.map(({ name }) => JSON.stringify(name).slice(1)));
      this.#trees.set(shape, found = { tree, fewest: tree.fewest(() => 0) });
    }
    return found;
  }

  /** Behind the next character of one of some texts. */
  #choose(node: TextNode, choice: Choice, c: string): readonly State[] {
    const to = node.next.get(c);
    if (to === undefined || choice.fewest[to.id] === Infinity) return none;
    const within = (): State => this.#intern(`${choice.key} ${to.id}`, () => ({ need: choice.fewest[to.id] + choice.more, depth: choice.depth, step: (next) => this.#choose(to, choice, next) }));
    return [...(to.end === undefined ? [] : [choice.then(to.end)]), ...(to.next.size === 0 ? [] : [within()])];
  }

  #firstItem(shape: Shape & { kind: 'array' }, rest: State): State {
    const { id, need } = this.#facts(shape);
    return this.#between(`items ${id} ${rest.id}`, need - 1 + rest.need, rest.depth + 1, (c) => {
      if (c === ']') return shape.min === 0 ? [rest] : none;
      return shape.max === 0 ? none : this.#begin(shape.items, this.#moreItems(shape, 1, rest), c);
    });
  }

  #moreItems(shape: Shape & { kind: 'array' }, count: number, rest: State): State {
    const { id } = this.#facts(shape);
    // Beyond the fewest, only a largest number makes a difference.
    const told = shape.max === Infinity ? Math.min(count, shape.min) : count;
    const need = Math.max(0, shape.min - count) * (1 + this.#facts(shape.items).need) + 1 + rest.need;
    return this.#between(`item ${id} ${told} ${rest.id}`, need, rest.depth + 1, (c) => {
      if (c === ']') return count >= shape.min ? [rest] : none;
      return c === ',' && count < shape.max ? [this.value(shape.items, this.#moreItems(shape, told + 1, rest))] : none;
    });
  }

  /** Required properties that are not among those seen: how many, and their characters without commas; and all that are not. */
  #missing(shape: ObjectShape, seen: string): { readonly sum: number; readonly count: number; readonly unseen: readonly number[] } {
    const taken = new Set(seen.split(','));
    const unseen = [...shape.properties.keys()].filter((i) => !taken.has(String(i)));
    const required = unseen.filter((i) => shape.properties[i].required);
    return { sum: required.reduce((all, i) => all + this.#propertyNeed(shape, i), 0), count: required.length, unseen };
  }

  /** Characters of a property: its name in quotes, the colon, its value. */
  #propertyNeed(shape: ObjectShape, i: number): number {
    return asciiLength(JSON.stringify(shape.properties[i].name)) + 1 + this.#facts(shape.properties[i].shape).need;
  }

  #firstName(shape: ObjectShape, rest: State): State {
    const { id, need } = this.#facts(shape);
    return this.#between(`names ${id} ${rest.id}`, need - 1 + rest.need, rest.depth + 1, (c) => (c === '}' ? (this.#missing(shape, '').count === 0 ? [rest] : none) : c === '"' ? this.#names(shape, '', rest) : none));
  }

  /** `seen` are indices of properties in order of appearance, each with a comma. */
  #moreNames(shape: ObjectShape, seen: string, rest: State): State {
    const { sum, count, unseen } = this.#missing(shape, seen);
    return this.#between(`more ${this.#facts(shape).id} ${seen} ${rest.id}`, sum + count + 1 + rest.need, rest.depth + 1, (c) => {
      if (c === '}') return count === 0 ? [rest] : none;
      return c === ',' && (shape.others !== undefined || unseen.length > 0) ? [this.#nextName(shape, seen, rest)] : none;
    });
  }

  /** After a comma. */
  #nextName(shape: ObjectShape, seen: string, rest: State): State {
    const { sum, count, unseen } = this.#missing(shape, seen);
    const other = shape.others === undefined ? Infinity : 3 + (shape.properties.some(({ name }) => name === '') ? 1 : 0) + this.#facts(shape.others).need;
    const shortest = unseen.reduce((least, i) => Math.min(least, this.#propertyNeed(shape, i)), other);
    const need = (count > 0 ? sum + count - 1 : shortest) + 1 + rest.need;
    return this.#between(`next ${this.#facts(shape).id} ${seen} ${rest.id}`, need, rest.depth + 1, (c) => (c === '"' ? this.#names(shape, seen, rest) : none));
  }

  /** After the quote that begins a name: those listed and not seen, and any other. */
  #names(shape: ObjectShape, seen: string, rest: State): readonly State[] {
    const { sum, count, unseen } = this.#missing(shape, seen);
    const left = new Set(unseen);
    const { tree } = this.#treeOf(shape);
    const fewest = tree.fewest((i) => {
      if (!left.has(i)) return Infinity;
      const { shape: value, required } = shape.properties[i];
      const others = required ? sum + count - this.#propertyNeed(shape, i) - 1 : sum + count;
      return 1 + this.#facts(value).need + others + 1 + rest.need;
    });
    const choice: Choice = {
      key: `property ${this.#facts(shape).id} ${seen} ${rest.id}`, fewest, more: 0, depth: rest.depth + 1,
      then: (i) => this.#colon(shape.properties[i].shape, this.#moreNames(shape, `${seen}${i},`, rest)),
    };
    const listed = unseen.length === 0 ? none : [this.#intern(`${choice.key} 0`, () => ({ need: fewest[0], depth: choice.depth, step: (c) => this.#choose(tree.root, choice, c) }))];
    return shape.others === undefined ? listed : [...listed, this.#otherName(shape, '', this.#colon(shape.others, this.#moreNames(shape, seen, rest)))];
  }

  /**
   * Within a name that is not listed, which has no escapes and no broken characters, so that it is known not to be a listed
   * one. What was typed matters while it may still become one.
   */
  #otherName(shape: ObjectShape, typed: string | undefined, rest: State): State {
    if (typed !== undefined && !shape.properties.some(({ name }) => name.startsWith(typed))) return this.#otherName(shape, undefined, rest);
    const listed = shape.properties.some(({ name }) => name === typed);
    return this.#intern(`name ${this.#facts(shape).id} ${rest.id} ${typed === undefined ? '' : `"${typed}`}`, () => ({
      need: (listed ? 2 : 1) + rest.need, depth: rest.depth,
      step: (c) => {
        if (c === '"') return listed ? none : [rest];
        return c < ' ' || c === '\\' || c === '\ufffd' ? none : [this.#otherName(shape, typed === undefined ? undefined : typed + c, rest)];
      },
    }));
  }

  #colon(shape: Shape, rest: State): State {
    const { id, need } = this.#facts(shape);
    return this.#between(`colon ${id} ${rest.id}`, 1 + need + rest.need, rest.depth, (c) => (c === ':' ? [this.value(shape, rest)] : none));
  }
}

/** The place before a text of one shape. */
export function jsonAcceptor(shape: Shape): Place {
  const states = new States();
  const places = new Map<string, Place>();
  const placeOf = (all: readonly State[]): Place => {
    const unique = [...new Map(all.map((state) => [state.id, state])).values()].sort((a, b) => a.id - b.id);
    const key = unique.map(({ id }) => id).join();
    const known = places.get(key);
    if (known !== undefined) return known;
    const next = new Map<string, Place | undefined>();
    const place: Place = {
      need: Math.min(...unique.map(({ need }) => need)),
      complete: unique.length === 1 && unique[0] === states.end,
      step(c) {
        if (next.has(c)) return next.get(c);
        const to = unique.flatMap((state) => state.step(c));
        const found = to.length === 0 ? undefined : placeOf(to);
        next.set(c, found);
        return found;
      },
    };
    places.set(key, place);
    return place;
  };
  return placeOf([states.value(shape, states.end)]);
}
