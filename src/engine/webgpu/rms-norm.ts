/** x / √(mean x² + ε) · weight for every token, as inputs of the matrix products that follow. */
import type { GpuAbilities } from './gpu.ts';
import { emit, inputBindings, type InputKind } from './inputs.ts';
import { reduction, subgroupArguments, subgroupParameters } from './workgroup-sum.ts';

const threads = 128;

/** Bindings: x [tokens, groups · 32] padded with zeros, weight [groups · 32] likewise, inputs. One workgroup a token. */
export const rmsNorm = ({ width, epsilon, inputs }: { readonly width: number; readonly epsilon: number; readonly inputs: InputKind }, able: GpuAbilities): string => {
  const groups = Math.ceil(width / 32);
  return `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
${inputBindings(inputs, 2, 'read_write')}
${emit(inputs, able)}
${reduction({ kind: 'sum', threads, width: 1, subgroups: able.subgroups })}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32${subgroupParameters(able.subgroups)}) {
  let base = id.x * ${groups * 8}u;
  var squares: array<f32, 1>;
  for (var i = lane; i < ${groups * 8}u; i += ${threads}u) { squares[0] += dot(x[base + i], x[base + i]); }
  squares = sumAll(lane, squares${subgroupArguments(able.subgroups)});
  let root = sqrt(squares[0] / ${width}.0 + ${epsilon});
  for (var g = lane; g < ${groups}u; g += ${threads}u) {
    var v: array<vec4f, 8>;
    for (var i = 0u; i < 8u; i++) { v[i] = x[base + g * 8u + i] / root * weight[g * 8u + i]; }
    emit(id.x * ${groups}u + g, v);
  }
}`;
};
