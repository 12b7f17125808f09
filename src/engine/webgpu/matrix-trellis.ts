/**
 * Trellis codes (kernels/lowbit/trellis.ts has the same of the CPU): strips of 16 rows, in each tiles of 16 columns, which
 * are rows of 16 weights after each other, first steps in the highest bits and the lowest word once more behind the
 * highest. A state, the bits of a step with those before it, is an index of levels, held as pairs of a float and of the
 * bytes of an integer (matrix-table.ts).
 */

/** Words before the scales of rows. `few` tiles have steps of `bits`, the others of `moreBits`; tiles, strips and levels are counted in words. */
export const trellisHeader = ['groups', 'few', 'bits', 'moreBits', 'tile', 'moreTile', 'strip', 'levels', 'moreLevels', 'ones', 'perState', 'step'] as const;
export type TrellisHeader = Readonly<Record<(typeof trellisHeader)[number], number>>;

const word = (name: (typeof trellisHeader)[number]): string => `wSides[${trellisHeader.indexOf(name)}]`;

/** `fn side(at)`: the scale of a row; group `at` is one of its. */
export const trellisSide = `return vec2f(bitcast<f32>(wSides[${trellisHeader.length}u + at / ${word('groups')}]), 0.0);`;
/** What an integer counts. */
export const trellisStep = `bitcast<f32>(${word('step')})`;

/** `fn level(at, column) -> f32`, and `fn levelBytes` as `levels` of a table holds them: of a column of group `at`. */
export const trellisLevels = `
fn levelPlace(at: u32, column: u32) -> u32 {
  let row = at / ${word('groups')};
  let c = (at % ${word('groups')}) * 32u + column;
  let tile = c >> 4u;
  let few = ${word('few')};
  let narrow = tile < few;
  let bits = select(${word('moreBits')}, ${word('bits')}, narrow);
  let place = (row & 15u) * 16u + (c & 15u);
  let bit = (256u / ${word('perState')} - 1u - place / ${word('perState')}) * bits;
  let begin = (row >> 4u) * ${word('strip')} + min(tile, few) * ${word('tile')} + (max(tile, few) - few) * ${word('moreTile')} + (bit >> 5u);
  // No shift by 32 where a state begins a word.
  let state = ((w[begin] >> (bit & 31u)) | ((w[begin + 1u] << 1u) << (31u - (bit & 31u)))) & ${word('ones')};
  return select(${word('moreLevels')}, ${word('levels')}, narrow) + 2u * (state * ${word('perState')} + place % ${word('perState')});
}
fn level(at: u32, column: u32) -> f32 { return bitcast<f32>(wTable[levelPlace(at, column)]); }
fn levelBytes(at: u32, column: u32) -> u32 { return wTable[levelPlace(at, column) + 1u]; }`;
