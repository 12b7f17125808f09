/** What makes a graph well formed: every value made once, before it is used, under one name. */
import { defineErrors } from '../errors.ts';
import type { Graph } from './graph.ts';
import { bodies, label } from './traverse.ts';

const errors = defineErrors('graph', {
  madeTwice: (f: { graph: string; value: string; by: string }) => `graph ${f.graph}: value ${f.value} is made twice (again by ${f.by})`,
  shadowed: (f: { graph: string; value: string }) => `graph ${f.graph}: value ${f.value} hides one of the same name in the graph around it`,
  dangling: (f: { node: string; value: string }) => `node ${f.node} uses ${f.value}, which nothing makes before it`,
  danglingOutput: (f: { graph: string; value: string }) => `graph ${f.graph}: output ${f.value} is made by nothing`,
  outputTwice: (f: { graph: string; value: string }) => `graph ${f.graph}: output ${f.value} is listed twice`,
  unnamed: (f: { graph: string; what: string }) => `graph ${f.graph}: ${f.what} without a name`,
  noOutputs: (f: { graph: string }) => `graph ${f.graph} has no outputs`,
});

/** Throws one clear error when the graph is not in single-assignment form and topological order, bodies included. */
export function checkGraph(graph: Graph): void {
  checkScope(graph, new Set());
}

interface Scope { has(name: string): boolean }

function checkScope(graph: Graph, outer: Scope): void {
  const own = new Set<string>();
  const make = (value: string, by: string): void => {
    if (own.has(value)) throw errors.madeTwice({ graph: graph.name, value, by });
    if (outer.has(value)) throw errors.shadowed({ graph: graph.name, value });
    own.add(value);
  };
  for (const input of graph.inputs) {
    if (input.name === '') throw errors.unnamed({ graph: graph.name, what: 'an input' });
    make(input.name, 'the inputs');
  }
  for (const name of graph.weights.keys()) {
    if (name === '') throw errors.unnamed({ graph: graph.name, what: 'a weight' });
    make(name, 'the weights');
  }
  // A body sees what is made before its node; one growing set serves them all.
  const visible: Scope = { has: (name) => own.has(name) || outer.has(name) };
  for (const node of graph.nodes) {
    for (const value of node.inputs) {
      if (value !== '' && !visible.has(value)) throw errors.dangling({ node: label(node), value });
    }
    for (const { graph: body } of bodies(node)) checkScope(body, visible);
    for (const value of node.outputs) if (value !== '') make(value, label(node));
  }
  if (graph.outputs.length === 0) throw errors.noOutputs({ graph: graph.name });
  const seen = new Set<string>();
  for (const { name } of graph.outputs) {
    if (name === '') throw errors.unnamed({ graph: graph.name, what: 'an output' });
    if (seen.has(name)) throw errors.outputTwice({ graph: graph.name, value: name });
    seen.add(name);
    if (!visible.has(name)) throw errors.danglingOutput({ graph: graph.name, value: name });
  }
}
