/**
 * A plain interpreter of ONNX graphs in float64, operator set 21: slow and obvious, the judge of gradients
 * (by differences), of kernels and of engines. Floats of every width are computed as doubles and not rounded
 * between operators; element types decide integer division, wrapping, casts and saturation.
 */
import { defineErrors } from '../../errors.ts';
import type { Graph } from '../../graph/graph.ts';
import { Call, errors as nodeErrors } from './call.ts';
import { operators } from './operators.ts';
import { readValue } from './types.ts';
import type { Value64 } from './value.ts';

export type { Value64 } from './value.ts';

const errors = defineErrors('interpreter', {
  notFed: (f: { name: string }) => `input ${f.name} was not fed`,
  feedType: (f: { name: string; declared: string; given: string }) => `input ${f.name} is ${f.declared}, fed as ${f.given}`,
  noValue: (f: { name: string }) => `no node makes the value ${f.name}`,
});

/** Values by name, with those of the graphs around. */
interface Scope {
  get(name: string): Promise<Value64>;
}

/** Runs a graph over these inputs; every graph output by name. */
export async function interpret(graph: Graph, feeds: Readonly<Record<string, Value64>>): Promise<Record<string, Value64>> {
  const outer: Scope = { get: async (name) => { throw errors.noValue({ name }); } };
  return runGraph(graph, feeds, outer);
}

async function runGraph(graph: Graph, feeds: Readonly<Record<string, Value64>>, outer: Scope): Promise<Record<string, Value64>> {
  const known = new Map<string, Value64>();
  for (const { name, type } of graph.inputs) {
    const value = feeds[name];
    // An input with an initializer has a default.
    if (value === undefined && graph.weights.has(name)) continue;
    if (value === undefined) throw errors.notFed({ name });
    if (type !== undefined && type !== value.type) throw errors.feedType({ name, declared: type, given: value.type });
    known.set(name, value);
  }
  const scope: Scope = {
    async get(name) {
      const value = known.get(name);
      if (value !== undefined) return value;
      const weight = graph.weights.get(name);
      if (weight === undefined) return outer.get(name);
      const read = await readValue(weight);
      known.set(name, read);
      return read;
    },
  };
  const runBody = async (body: Graph, inputs: readonly Value64[]): Promise<Value64[]> => {
    const results = await runGraph(body, Object.fromEntries(body.inputs.map(({ name }, i) => [name, inputs[i]])), scope);
    return body.outputs.map(({ name }) => results[name]);
  };
  for (const node of graph.nodes) {
    const op = node.domain === '' || node.domain === 'ai.onnx' ? node.op : `${node.domain}:${node.op}`;
    if (!Object.hasOwn(operators, op)) throw nodeErrors.unknownOperator({ op, node: new Call(node, [], runBody).name });
    const inputs = await Promise.all(node.inputs.map((name) => (name === '' ? undefined : scope.get(name))));
    const result = await operators[op](new Call(node, inputs, runBody));
    const values = 'data' in result ? [result] : result;
    for (const [i, name] of node.outputs.entries()) if (name !== '' && values[i] !== undefined) known.set(name, values[i]);
  }
  const results: Record<string, Value64> = {};
  for (const { name } of graph.outputs) results[name] = await scope.get(name);
  return results;
}
