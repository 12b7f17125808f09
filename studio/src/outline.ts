/** The model as blocks in the order in which it computes: layers of a language model, or each multiplication with what follows it. */
import { linearSites } from '../../src/graph/linear.ts';
import { elementCount } from '../../src/tensor-ref.ts';
import type { SourceModel } from '../../src/jobs/source.ts';

export interface Block {
  readonly name: string;
  /** Operators or tensors in order, equal neighbours once. */
  readonly parts: readonly string[];
  readonly weights: number;
}

/** Blocks that a page shows; more are one picture of the same. */
const most = 400;

export const outlineOf = (model: SourceModel): Block[] => (model.language === undefined ? graphBlocks(model) : tensorBlocks([...model.language.tensors.values()])).slice(0, most);

/** Tensors by their names up to the number of a layer. */
function tensorBlocks(tensors: readonly { readonly name: string; readonly shape: readonly number[] }[]): Block[] {
  const blocks = new Map<string, { parts: string[]; weights: number }>();
  for (const { name, shape } of tensors) {
    const [, block = name.replace(/\.weight$/, ''), part = ''] = /^(.*?\.\d+)\.(.*)$/.exec(name) ?? [];
    const found = blocks.get(block) ?? { parts: [], weights: 0 };
    if (part !== '') found.parts.push(`${part.replace(/\.weight$/, '')} ${shape.join('×')}`);
    else found.parts.push(shape.join('×'));
    found.weights += elementCount(shape);
    blocks.set(block, found);
  }
  return [...blocks].map(([name, block]) => ({ name, ...block }));
}

/** Nodes from one multiplication to the next. */
function graphBlocks({ graph }: SourceModel): Block[] {
  const sites = new Map(linearSites(graph).map((site) => [site.node, site]));
  const blocks: { name: string; parts: string[]; weights: number }[] = [{ name: 'input', parts: [], weights: 0 }];
  for (const node of graph.nodes) {
    const site = sites.get(node);
    if (site !== undefined) blocks.push({ name: site.id, parts: [], weights: 0 });
    const block = blocks.at(-1)!;
    if (block.parts.at(-1) !== node.op) block.parts.push(node.op);
    for (const input of node.inputs) {
      const weight = graph.weights.get(input);
      if (weight !== undefined) block.weights += elementCount(weight.shape);
    }
  }
  return blocks.filter(({ parts }) => parts.length > 0);
}
