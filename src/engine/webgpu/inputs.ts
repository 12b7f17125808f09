/**
 * What matrix products take in: tokens [tokens, groups of 32 columns], as floats, as halves, or rounded to codes of 8 bits
 * with a scale and the sum of the codes per group. Kernels that make such inputs end in `emit`.
 */
import type { GpuAbilities } from './gpu.ts';

export type InputKind = 'float' | 'half' | 'rounded';

export const groupSize = 32;

/** Bytes of a group in each of the buffers that hold inputs. */
export const inputBytes: Readonly<Record<InputKind, readonly number[]>> = { float: [128], half: [64], rounded: [32, 8] };

/** How many buffers of inputs are bound, and how they are declared from `first` on. */
export function inputBindings(kind: InputKind, first: number, access: 'read' | 'read_write'): string {
  const [values, sides] = access === 'read' ? ['x', 'xSides'] : ['made', 'madeSides'];
  const declare = (at: number, name: string, type: string): string => `@group(0) @binding(${at}) var<storage, ${access}> ${name}: array<${type}>;`;
  switch (kind) {
    case 'float': return declare(first, values, 'vec4f');
    case 'half': return declare(first, values, 'vec4<f16>');
    case 'rounded': return `${declare(first, values, 'vec4u')}\n${declare(first + 1, sides, 'vec2f')}`;
    default: return kind satisfies never;
  }
}

/** `fn emit(at, v)`: group `at` of all groups of all tokens from its 32 values. */
export function emit(kind: InputKind, { dots }: Pick<GpuAbilities, 'dots'>): string {
  if (kind !== 'rounded') {
    const value = kind === 'float' ? 'v[i]' : 'vec4<f16>(v[i])';
    return `fn emit(at: u32, v: array<vec4f, 8>) { for (var i = 0u; i < 8u; i++) { made[at * 8u + i] = ${value}; } }`;
  }
  return `
fn packed(c: vec4i) -> u32 { return ${dots ? 'pack4xI8(c)' : '(u32(c.x) & 255u) | ((u32(c.y) & 255u) << 8u) | ((u32(c.z) & 255u) << 16u) | (u32(c.w) << 24u)'}; }
fn emit(at: u32, v: array<vec4f, 8>) {
  var top = vec4f();
  for (var i = 0u; i < 8u; i++) { top = max(top, abs(v[i])); }
  let scale = max(max(top.x, top.y), max(top.z, top.w)) / 127.0;
  let by = select(1.0, scale, scale > 0.0);
  var total = vec4i();
  var words: array<u32, 8>;
  for (var i = 0u; i < 8u; i++) {
    let codes = vec4i(round(v[i] / by));
    total += codes;
    words[i] = packed(codes);
  }
  made[at * 2u] = vec4u(words[0], words[1], words[2], words[3]);
  made[at * 2u + 1u] = vec4u(words[4], words[5], words[6], words[7]);
  madeSides[at] = vec2f(scale, f32(total.x + total.y + total.z + total.w));
}`;
}

/** `fn dot4(a, b, sum)`: four products of signed bytes added to a sum. */
export const dot4 = ({ dots }: Pick<GpuAbilities, 'dots'>): string => (dots
  ? 'fn dot4(a: u32, b: u32, sum: i32) -> i32 { return sum + dot4I8Packed(a, b); }'
  : `fn bytes(w: u32) -> vec4i { return vec4i(bitcast<vec4<i32>>(vec4u(w << 24u, w << 16u, w << 8u, w))) >> vec4u(24u); }
fn dot4(a: u32, b: u32, sum: i32) -> i32 { let p = bytes(a) * bytes(b); return sum + p.x + p.y + p.z + p.w; }`);
