/** Graphs: the representation, building, checking, rewriting, types, folding and the view of linear sites. */
export type { Attribute, Dim, Graph, Node, ValueInfo } from './graph.ts';
export {
  GraphBuilder, float, float32Tensor, floats, int, int64Tensor, ints, renamed, string, strings, subgraph, tensor, type OpOptions,
} from './build.ts';
export { checkGraph } from './check.ts';
export { bodies, consumers, freeNames, label, producers, sortNodes, usedNames, viewOf, type GraphView } from './traverse.ts';
export {
  freshNames, makeNode, mapBodies, redirectUses, removeDeadNodes, renameValues, replaceNodes, type Fresh, type Replacement, type Rule,
} from './rewrite.ts';
export {
  encodeNumbers, isFloatType, isNumberType, lazyTensor, mappedTensor, numberTensor, readFloats, readNumbers,
} from './values.ts';
export { linearSites, siteLabel, storedBytes, storedOrder, withMatrix, type Linear, type LinearKind, type LinearOptions } from './linear.ts';
export { inferContents, inferTypes, type Known } from './infer.ts';
export { foldConstants, removeIdentities } from './constant-fold.ts';
export { upgradeOpset } from './upgrade.ts';
