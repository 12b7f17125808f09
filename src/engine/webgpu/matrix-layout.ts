/**
 * Matrices [rows, cols] as the WebGPU kernels read them: row by row, in groups of 32 columns, the last padded with zeros.
 *   four           16 bytes a group: byte i with column i in its low and column i + 16 in its high half; value = scale · (code − 8)
 *   four-minima    the same codes; value = scale · code − minimum
 *   eight          32 codes; value = scale · code; -minima subtracts a minimum, -halves has a scale per 16 columns
 *   half, float    the values themselves
 * Scales of `four` and `eight` are halves, two in a word; other layouts have two floats a group.
 */

export type MatrixLayout = 'four' | 'four-minima' | 'eight' | 'eight-minima' | 'eight-halves' | 'half' | 'float';

/** Bytes of a group: codes or values, and what goes with them. */
export const layoutBytes: Readonly<Record<MatrixLayout, { readonly codes: number; readonly sides: number }>> = {
  four: { codes: 16, sides: 2 }, 'four-minima': { codes: 16, sides: 8 },
  eight: { codes: 32, sides: 2 }, 'eight-minima': { codes: 32, sides: 8 }, 'eight-halves': { codes: 32, sides: 8 },
  half: { codes: 64, sides: 0 }, float: { codes: 128, sides: 0 },
};

export const isLowBit = (layout: MatrixLayout): boolean => layout !== 'half' && layout !== 'float';
export const hasHalfScales = (layout: MatrixLayout): boolean => layout === 'four' || layout === 'eight';

/** Bindings of a matrix from `first` on, words of codes of `type`, and `fn side(group)`: scale and minimum, or two scales. */
export function matrixBindings(layout: MatrixLayout, first: number, type: 'vec4u' | 'u32'): string {
  const codes = `@group(0) @binding(${first}) var<storage, read> w: array<${type}>;`;
  if (!isLowBit(layout)) return codes;
  const sides = (element: string): string => `@group(0) @binding(${first + 1}) var<storage, read> wSides: array<${element}>;`;
  return `${codes}
${hasHalfScales(layout)
    ? `${sides('u32')}\nfn side(at: u32) -> vec2f { let two = unpack2x16float(wSides[at >> 1u]); return vec2f(select(two.x, two.y, (at & 1u) == 1u), 0.0); }`
    : `${sides('vec2f')}\nfn side(at: u32) -> vec2f { return wSides[at]; }`}`;
}

/** How many bindings a matrix takes. */
export const matrixBuffers = (layout: MatrixLayout): number => (isLowBit(layout) ? 2 : 1);

/** `fn values(at) -> array<vec4f, 8>`: group `at` of a matrix bound as `vec4u`, without its scale and minimum. */
export function groupValues(layout: MatrixLayout): string {
  const body: Readonly<Record<MatrixLayout, string>> = {
    four: `let c = w[at];
  for (var i = 0u; i < 4u; i++) { v[i] = vec4f(unsigned(c[i] & 0x0f0f0f0fu)) - 8.0; v[i + 4u] = vec4f(unsigned((c[i] >> 4u) & 0x0f0f0f0fu)) - 8.0; }`,
    'four-minima': `let c = w[at];
  for (var i = 0u; i < 4u; i++) { v[i] = vec4f(unsigned(c[i] & 0x0f0f0f0fu)); v[i + 4u] = vec4f(unsigned((c[i] >> 4u) & 0x0f0f0f0fu)); }`,
    eight: bytes, 'eight-minima': bytes, 'eight-halves': bytes,
    half: 'for (var i = 0u; i < 8u; i++) { let c = w[at * 4u + (i >> 1u)]; let two = select(c.xy, c.zw, (i & 1u) == 1u); v[i] = vec4f(unpack2x16float(two.x), unpack2x16float(two.y)); }',
    float: 'for (var i = 0u; i < 8u; i++) { v[i] = bitcast<vec4f>(w[at * 8u + i]); }',
  };
  return `${unpackBytes}
fn values(at: u32) -> array<vec4f, 8> {
  var v: array<vec4f, 8>;
  ${body[layout]}
  return v;
}`;
}

const bytes = 'for (var i = 0u; i < 8u; i++) { v[i] = vec4f(signed(w[at * 2u + (i >> 2u)][i & 3u])); }';

/** The four bytes of a word; written out, because not every device has the built-in functions. */
const unpackBytes = `
fn unsigned(w: u32) -> vec4u { return (vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u); }
fn signed(w: u32) -> vec4i { return bitcast<vec4i>(vec4u(w << 24u, w << 16u, w << 8u, w)) >> vec4u(24u); }`;
