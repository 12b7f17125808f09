/** Groups of a matrix taken apart: its codes as bytes for sums of integers, or as floats. */
import { formOf, type MatrixLayout } from './matrix-layout.ts';
import { trellisLevels } from './matrix-trellis.ts';

/** Words of bytes that a group becomes: four for columns 0 to 15, four for the others, and as many high bytes where levels are wide. */
export const byteVectors = (layout: MatrixLayout): 2 | 4 => (formOf(layout).table === 2 ? 4 : 2);

/**
 * `fn coded(at) -> array<vec4u, byteVectors>`: group `at` as bytes, of a matrix bound as `type`. Codes are less what they
 * are less, but for `four` where `centred` is false.
 */
export function codedGroup(layout: MatrixLayout, type: 'vec4u' | 'u32', centred: boolean): string {
  const { bits, less, table } = formOf(layout);
  const load = (each: number, at: number): string => (type === 'vec4u' ? `w[at * ${each}u + ${at}u]` : `vec4u(w[at * ${4 * each}u + ${4 * at}u], w[at * ${4 * each}u + ${4 * at + 1}u], w[at * ${4 * each}u + ${4 * at + 2}u], w[at * ${4 * each}u + ${4 * at + 3}u])`);
  const named = (body: string): string => `fn coded(at: u32) -> array<vec4u, ${byteVectors(layout)}> { ${body} }`;
  if (bits === 0) {
    const pair = (from: number): string => `levelBytes(at, i * 4u + ${from}u) | (levelBytes(at, i * 4u + ${from + 1}u) << 8u)`;
    return `${trellisLevels}\n${named(`var c: array<vec4u, 4>; for (var i = 0u; i < 8u; i++) { let a = ${pair(0)}; let b = ${pair(2)}; ${planes} } return c;`)}`;
  }
  if (bits === 8) return named(`return array(${load(2, 0)}, ${load(2, 1)});`);
  if (bits < 4) return `${fewBits(layout)}\n${named(`return array(${[0, 1].map((half) => lessened(`few(at, ${half}u)`, less ?? 0)).join(', ')});`)}`;
  const nibbles = `let c = ${load(1, 0)}; let low = c & vec4u(0x0f0f0f0fu); let high = (c >> vec4u(4u)) & vec4u(0x0f0f0f0fu);`;
  if (table === undefined) return named(`${nibbles} return array(${['low', 'high'].map((c) => lessened(c, centred ? less ?? 0 : 0)).join(', ')});`);
  const pair = (c: string, from: number): string => `levels[(${c} >> ${from}u) & 15u] | (levels[(${c} >> ${from + 8}u) & 15u] << 8u)`;
  // Of two bytes each, four levels are two words with both.
  const [element, joined] = table === 1 ? ['u32', 'a | (b << 16u)'] : ['vec2u', 'vec2u((a & 0xffffu) | (b << 16u), (a >> 16u) | (b & 0xffff0000u))'];
  const all = (c: string): string => `let ${c}0 = looked(${c}.x); let ${c}1 = looked(${c}.y); let ${c}2 = looked(${c}.z); let ${c}3 = looked(${c}.w);`;
  const plane = (c: string, of: string): string => `vec4u(${[0, 1, 2, 3].map((i) => `${c}${i}${of}`).join(', ')})`;
  return `
fn looked(c: u32) -> ${element} { let a = ${pair('c', 0)}; let b = ${pair('c', 16)}; return ${joined}; }
${named(`${nibbles} ${all('low')} ${all('high')} return array(${(table === 1 ? [''] : ['.x', '.y']).flatMap((of) => [plane('low', of), plane('high', of)]).join(', ')});`)}`;
}

/** Words `i` of low and of high bytes. */
const planes = 'c[i >> 2u][i & 3u] = (a & 0xffffu) | (b << 16u); c[2u + (i >> 2u)][i & 3u] = (a >> 16u) | (b & 0xffff0000u);';

/** Bytes less a number, without borrows. */
const lessened = (c: string, less: number): string => (less === 0 ? c : `((${c} | vec4u(0x80808080u)) - vec4u(${less * 0x01010101}u)) ^ vec4u(0x80808080u)`);

/** `fn few(at, half) -> vec4u`: codes of two or three bits of 16 columns. */
function fewBits(layout: MatrixLayout): string {
  return formOf(layout).bits === 2
    ? 'fn few(at: u32, half: u32) -> vec4u { return (vec4u(w[at * 2u + half]) >> vec4u(0u, 2u, 4u, 6u)) & vec4u(0x03030303u); }'
    : 'fn few(at: u32, half: u32) -> vec4u { return ((vec4u(w[at * 3u + half]) >> vec4u(0u, 2u, 4u, 6u)) & vec4u(0x03030303u)) | (((vec4u(w[at * 3u + 2u] >> (half * 4u)) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(0x01010101u)) << vec4u(2u)); }';
}

/** `fn values(at) -> array<vec4f, 8>`: group `at` of a matrix bound as `vec4u`, without its scale and minimum. */
export function groupValues(layout: MatrixLayout): string {
  const { bits, less = 0, table } = formOf(layout);
  const lessF = less === 0 ? '' : ` - ${less}.0`;
  const nibbles = (of: (c: string) => string): string => `let c = w[at]; for (var i = 0u; i < 4u; i++) { v[i] = ${of('c[i] & 0x0f0f0f0fu')}; v[i + 4u] = ${of('(c[i] >> 4u) & 0x0f0f0f0fu')}; }`;
  const body: Readonly<Record<typeof bits, string>> = {
    0: 'for (var i = 0u; i < 8u; i++) { v[i] = vec4f(level(at, i * 4u), level(at, i * 4u + 1u), level(at, i * 4u + 2u), level(at, i * 4u + 3u)); }',
    2: fewValues(lessF), 3: fewValues(lessF),
    4: table === undefined ? nibbles((c) => `vec4f(unsigned(${c}))${lessF}`) : nibbles((c) => `looked(${c})`),
    8: 'for (var i = 0u; i < 8u; i++) { v[i] = vec4f(signed(w[at * 2u + (i >> 2u)][i & 3u])); }',
    16: 'for (var i = 0u; i < 8u; i++) { let c = w[at * 4u + (i >> 1u)]; let two = select(c.xy, c.zw, (i & 1u) == 1u); v[i] = vec4f(unpack2x16float(two.x), unpack2x16float(two.y)); }',
    32: 'for (var i = 0u; i < 8u; i++) { v[i] = bitcast<vec4f>(w[at * 8u + i]); }',
  };
  return `${unpackBytes}
${bits === 0 ? trellisLevels : bits < 4 ? fewBits(layout) : ''}
${bits !== 4 || table === undefined ? '' : 'fn looked(c: u32) -> vec4f { let i = unsigned(c); return vec4f(levels[i.x], levels[i.y], levels[i.z], levels[i.w]); }'}
fn values(at: u32) -> array<vec4f, 8> {
  var v: array<vec4f, 8>;
  ${body[bits]}
  return v;
}`;
}

const fewValues = (less: string): string => `let a = few(at, 0u); let b = few(at, 1u); for (var i = 0u; i < 4u; i++) { v[i] = vec4f(unsigned(a[i]))${less}; v[i + 4u] = vec4f(unsigned(b[i]))${less}; }`;

/** The four bytes of a word; written out, because not every device has the built-in functions. */
const unpackBytes = `
fn unsigned(w: u32) -> vec4u { return (vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u); }
fn signed(w: u32) -> vec4i { return bitcast<vec4i>(vec4u(w << 24u, w << 16u, w << 8u, w)) >> vec4u(24u); }`;
