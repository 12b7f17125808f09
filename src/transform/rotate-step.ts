/**
 * The bottleneck between the two projections of Mamba-1's step sizes turned by rotations of its own (R5 of MambaQuant,
 * arXiv:2501.13484, section 4.1): nothing stands between them, so both take it into their weights.
 */
import type { Graph } from '../graph/graph.ts';
import { linearSites, withMatrix } from '../graph/linear.ts';
import { transpose } from '../numeric/matrix.ts';
import type { Mamba1Block } from './mamba-blocks.ts';
import { turnRows, type Rotation } from './rotation.ts';

export async function rotateStep(graph: Graph, { xProj, stepProj }: Mamba1Block, rotation: Rotation): Promise<Graph> {
  const rank = stepProj.cols;
  const matrix = (await xProj.weightMatrix()).slice();
  const rows = matrix.subarray(0, rank * xProj.cols);
  // Rows of the producer are columns of its transpose: low·R = x·(Rᵀ·W)ᵀ.
  rows.set(transpose(turnRows(transpose(rows, rank, xProj.cols), rotation), xProj.cols, rank));
  const next = withMatrix(graph, xProj, matrix);
  const reader = linearSites(next).find(({ id }) => id === stepProj.id)!;
  return withMatrix(next, reader, turnRows(await reader.weightMatrix(), rotation));
}
