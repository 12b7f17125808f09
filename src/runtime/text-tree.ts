/** Texts by their beginnings, in one tree: each character leads on, and characters beyond ASCII also by way of their JSON escapes. */
export interface TextNode {
  /** Grows from every node to those behind it. */
  readonly id: number;
  readonly next: Map<string, TextNode>;
  /** Index of the text that ends here. */
  end: number | undefined;
}

export interface TextTree {
  readonly root: TextNode;
  /** By id: fewest characters to the end of a text and what `beyond` gives for it; infinite where there is none. */
  fewest(beyond: (text: number) => number): Float64Array;
}

/** Characters of a JSON text where all that is not ASCII is escaped. */
export function asciiLength(text: string): number {
  let length = 0;
  for (let i = 0; i < text.length; i++) length += text.charCodeAt(i) < 128 ? 1 : 6;
  return length;
}

export function textTree(texts: readonly string[]): TextTree {
  const nodes: TextNode[] = [];
  const node = (): TextNode => {
    const made: TextNode = { id: nodes.length, next: new Map(), end: undefined };
    nodes.push(made);
    return made;
  };
  const childOf = (parent: TextNode, character: string): TextNode => {
    let child = parent.next.get(character);
    if (child === undefined) parent.next.set(character, child = node());
    return child;
  };
  const root = node();
  texts.forEach((text, index) => {
    let at = root;
    for (let i = 0; i < text.length; i++) {
      const known = at.next.get(text[i]);
      if (known === undefined && text.charCodeAt(i) > 127) {
        // Vocabularies have all of ASCII, but not every other character.
        const escape = `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`;
        const last = [...escape.slice(0, -1)].reduce(childOf, at);
        const child = childOf(last, escape.at(-1)!);
        at.next.set(text[i], child);
        at = child;
      } else at = known ?? childOf(at, text[i]);
    }
    at.end = index;
  });
  return {
    root,
    fewest(beyond) {
      const fewest = new Float64Array(nodes.length).fill(Infinity);
      for (let id = nodes.length - 1; id >= 0; id--) {
        const { end, next } = nodes[id];
        if (end !== undefined) fewest[id] = beyond(end);
        // A character beyond ASCII counts as its escape, which leads to the same place.
        for (const [character, child] of next) if (character.charCodeAt(0) < 128) fewest[id] = Math.min(fewest[id], 1 + fewest[child.id]);
      }
      return fewest;
    },
  };
}
