/** Graphs: the representation, building, checking, rewriting, types, folding and the view of linear sites. */
export type { Attribute, Dim, Graph, Node, ValueInfo } from './graph.ts';
export { GraphBuilder, float, float32Tensor, floats, int, int64Tensor, ints, string, strings, subgraph, tensor, type OpOptions } from './build.ts';
