/**
 * Which values share a scale. `tensor` [1, 1] · `channel` [rows, 1] · `token` [rows, 1], for activations ·
 * `g128` [rows, ⌈cols/128⌉], groups along the row · `128x128` [⌈rows/128⌉, ⌈cols/128⌉] ·
 * `b64` [1, ⌈rows·cols/64⌉], blocks of the flattened matrix that may cross rows.
 */
export type Granularity =
  | { readonly kind: 'tensor' | 'channel' | 'token' }
  | { readonly kind: 'group' | 'flat'; readonly size: number }
  | { readonly kind: 'block'; readonly rows: number; readonly cols: number };

/** A matrix cut into equal tiles (smaller at the ends), one scale each. */
export interface Tiling {
  /** The matrix as the tiles see it: flat blocks see one long row. */
  readonly rows: number;
  readonly cols: number;
  readonly tileRows: number;
  readonly tileCols: number;
  readonly shape: readonly [rows: number, cols: number];
}

export function tilingOf(granularity: Granularity, rows: number, cols: number): Tiling {
  const cut = (r: number, c: number, tileRows: number, tileCols: number): Tiling => ({
    rows: r, cols: c, tileRows, tileCols, shape: [Math.ceil(r / tileRows), Math.ceil(c / tileCols)],
  });
  switch (granularity.kind) {
    case 'tensor': return { rows: 1, cols: rows * cols, tileRows: 1, tileCols: Math.max(1, rows * cols), shape: [1, 1] };
    case 'channel':
    case 'token': return { rows, cols, tileRows: 1, tileCols: Math.max(1, cols), shape: [rows, 1] };
    case 'group': return cut(rows, cols, 1, granularity.size);
    case 'block': return cut(rows, cols, granularity.rows, granularity.cols);
    case 'flat': return cut(1, rows * cols, 1, granularity.size);
  }
}

/** Canonical spelling. `along` is the letter for groups along the row: `b` for microscaling blocks, else `g`. */
export function spellGranularity(granularity: Granularity, along: 'g' | 'b' = 'g'): string {
  switch (granularity.kind) {
    case 'group': return `${along}${granularity.size}`;
    case 'flat': return `b${granularity.size}`;
    case 'block': return `${granularity.rows}x${granularity.cols}`;
    default: return granularity.kind;
  }
}

/** Values along a row that share a scale; infinity for tensor, channel and token scales. */
export function groupOf(granularity: Granularity): number {
  switch (granularity.kind) {
    case 'group':
    case 'flat': return granularity.size;
    case 'block': return granularity.cols;
    default: return Infinity;
  }
}
