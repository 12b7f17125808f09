/** Places for the labels of points, so that none covers another or a point. Greedy, in the order given. */

export interface Spot {
  /** Pixels. */
  readonly x: number;
  readonly y: number;
  /** Empty for points that only must not be covered. */
  readonly text: string;
}

export interface Place {
  /** Pixels from the point to the anchor of its text, which is centred vertically. */
  readonly dx: number;
  readonly dy: number;
  readonly anchor: 'start' | 'middle' | 'end';
  /** Far enough away to need a line to its point. */
  readonly far: boolean;
}

export interface Box { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number }

const near: readonly (readonly [dx: number, dy: number, anchor: Place['anchor']])[] = [
  [9, 0, 'start'], [-9, 0, 'end'], [0, -14, 'middle'], [0, 14, 'middle'], [8, -12, 'start'], [8, 12, 'start'], [-8, -12, 'end'], [-8, 12, 'end'],
];
const rings = [28, 44, 60, 80, 100];
const candidates: readonly Place[] = [
  ...near.map(([dx, dy, anchor]) => ({ dx, dy, anchor, far: false })),
  ...rings.flatMap((ring) => ([['start', 14], ['end', -14], ['middle', 0]] as const).flatMap(([anchor, dx]) =>
    [-ring, ring].map((dy) => ({ dx, dy, anchor, far: true })))),
  // Where many points crowd, further aside.
  ...rings.flatMap((ring) => [0, ...rings].flatMap((up) => ([['start', ring], ['end', -ring]] as const).flatMap(([anchor, dx]) =>
    (up === 0 ? [0] : [-up, up]).map((dy) => ({ dx, dy, anchor, far: true }))))),
];

/** Width of an average letter of a sans-serif font, in font sizes; wide rather than narrow. */
const letter = 0.58;

const overlap = (a: Box, b: Box): number =>
  Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) * Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));

/** One place per spot; `frame` is what labels should not leave, `obstacles` what they should not lie on. */
export function placeLabels(spots: readonly Spot[], frame: Box, fontSize: number, obstacles: readonly Box[] = []): Place[] {
  const dots = spots.map(({ x, y }): Box => ({ left: x - 5, top: y - 5, right: x + 5, bottom: y + 5 }));
  const taken: Box[] = [];
  return spots.map(({ x, y, text }) => {
    if (text === '') return candidates[0];
    const width = text.length * fontSize * letter;
    const boxOf = ({ dx, dy, anchor }: Place): Box => {
      const left = x + dx - (anchor === 'start' ? 0 : anchor === 'end' ? width : width / 2);
      return { left, right: left + width, top: y + dy - fontSize * 0.6, bottom: y + dy + fontSize * 0.6 };
    };
    const cost = (box: Box): number => {
      const outside = width * fontSize * 1.2 - overlap(box, frame);
      return outside * 4 + [...taken, ...dots, ...obstacles].reduce((sum, other) => sum + overlap(box, other), 0);
    };
    let best = candidates[0];
    let least = Infinity;
    for (const place of candidates) {
      const now = cost(boxOf(place));
      if (now < least - 0.5) { best = place; least = now; }
      if (least < 1) break;
    }
    taken.push(boxOf(best));
    return best;
  });
}
