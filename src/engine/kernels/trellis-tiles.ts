/** How trellis codes lie for products (kernels/lowbit/trellis.ts), and the level of each weight as the plain twin reads it. */

/** Words of a form, by name. */
export const formWords = ['across', 'few', 'bits', 'table', 'moreBits', 'moreTable', 'ones', 'perState'] as const;
export type TrellisForm = Readonly<Record<(typeof formWords)[number], number>>;

/** Bytes of a tile of `stepBits` a step, the four that are repeated behind it included. */
export const tileBytes = (stepBits: number, perState: number): number => ((256 / perState) * stepBits) / 8 + 4;

export function readForm(memory: ArrayBufferLike, at: number): TrellisForm {
  const words = new Uint32Array(memory, at, formWords.length);
  return Object.fromEntries(formWords.map((name, i) => [name, words[i]])) as TrellisForm;
}

/** Levels by row and column of the matrix whose tiles lie at `weights`; 0 behind the last tile. */
export function trellisLevels(memory: ArrayBufferLike, at: number, weights: number): (row: number, column: number) => number {
  const { across, few, bits, table, moreBits, moreTable, ones, perState } = readForm(memory, at);
  const [B, levels] = [new Uint8Array(memory), new Int16Array(memory)];
  const [each, wider] = [tileBytes(bits, perState), tileBytes(moreBits, perState)];
  const stripBytes = few * each + (across - few) * wider;
  return (row, column) => {
    const tile = column >> 4;
    if (tile >= across) return 0;
    const [k, values] = tile < few ? [bits, table] : [moreBits, moreTable];
    const from = weights + (row >> 4) * stripBytes + (tile < few ? tile * each : few * each + (tile - few) * wider);
    const place = (row & 15) * 16 + (column & 15);
    const step = Math.floor(place / perState);
    const bit = (256 / perState - 1 - step) * k;
    const byte = from + (bit >> 3);
    const state = ((B[byte] | (B[byte + 1] << 8) | (B[byte + 2] << 16)) >> (bit & 7)) & ones;
    return levels[values / 2 + state * perState + (place % perState)];
  };
}
