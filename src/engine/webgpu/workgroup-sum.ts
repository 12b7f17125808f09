/** A sum or a maximum over the threads of a workgroup, by subgroups where there are any. */

export interface Reduction {
  /** `sum` or `max`; the function is called `<kind>All`. */
  readonly kind: 'sum' | 'max';
  readonly threads: number;
  /** Numbers that are reduced together; the function takes and gives an array of them. */
  readonly width: number;
  readonly subgroups: boolean;
}

/** Source of `fn <kind>All(lane: u32, v: array<f32, width>) -> array<f32, width>`; every thread gets the result. */
export function reduction({ kind, threads, width, subgroups }: Reduction): string {
  const join = (a: string, b: string): string => (kind === 'sum' ? `${a} + ${b}` : `max(${a}, ${b})`);
  const builtin = kind === 'sum' ? 'subgroupAdd' : 'subgroupMax';
  // Without subgroups every thread is one: the same tree ends the work.
  return `
var<workgroup> ${kind}Parts: array<f32, ${threads * width}>;
fn ${kind}All(lane: u32, given: array<f32, ${width}>${subgroups ? ', size: u32, place: u32' : ''}) -> array<f32, ${width}> {
  var v = given;
${subgroups
    ? `  for (var i = 0u; i < ${width}u; i++) { v[i] = ${builtin}(v[i]); }
  let count = (${threads}u + size - 1u) / size;
  if (count == 1u) { return v; }
  let at = lane / size;
  workgroupBarrier();
  if (place == 0u) { for (var i = 0u; i < ${width}u; i++) { ${kind}Parts[i * ${threads}u + at] = v[i]; } }
  workgroupBarrier();
  for (var i = 0u; i < ${width}u; i++) {
    var all = ${kind}Parts[i * ${threads}u];
    for (var k = 1u; k < count; k++) { all = ${join('all', `${kind}Parts[i * ${threads}u + k]`)}; }
    v[i] = all;
  }`
    : `  workgroupBarrier();
  for (var i = 0u; i < ${width}u; i++) { ${kind}Parts[i * ${threads}u + lane] = v[i]; }
  for (var half = ${threads / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (lane < half) {
      for (var i = 0u; i < ${width}u; i++) { let at = i * ${threads}u + lane; ${kind}Parts[at] = ${join(`${kind}Parts[at]`, `${kind}Parts[at + half]`)}; }
    }
  }
  workgroupBarrier();
  for (var i = 0u; i < ${width}u; i++) { v[i] = ${kind}Parts[i * ${threads}u]; }`}
  return v;
}`;
}

/** What a kernel that reduces takes besides its index, and passes on after the values. */
export const subgroupParameters = (subgroups: boolean): string => (subgroups ? ', @builtin(subgroup_size) size: u32, @builtin(subgroup_invocation_id) place: u32' : '');
export const subgroupArguments = (subgroups: boolean): string => (subgroups ? ', size, place' : '');
