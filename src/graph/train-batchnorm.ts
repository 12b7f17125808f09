/** BatchNormalization with the statistics of the batch, as training needs it. */
import { defineErrors } from '../errors.ts';
import { float, float32Tensor, int } from './build.ts';
import { compositeDomain } from './composite.ts';
import { batchNormTraining } from './gradient/batchnorm.ts';
import type { Graph, Node, ValueInfo } from './graph.ts';
import { inferTypes } from './infer.ts';
import { makeNode, replaceNodes } from './rewrite.ts';
import { label, viewOf } from './traverse.ts';

const errors = defineErrors('batchnorm', {
  shape: (f: { node: string; value: string }) => `${f.node}: the rank of ${f.value} and its number of channels must be known to train with batch statistics`,
});

/** Running statistics of one site: what came in, and the value that holds what to keep for the next step. */
export interface RunningStatistics {
  readonly node: string;
  readonly mean: string;
  readonly variance: string;
  readonly nextMean: string;
  readonly nextVariance: string;
}

export interface BatchNormTrained {
  readonly graph: Graph;
  readonly running: readonly RunningStatistics[];
  /** Running statistics by what replaces them after a step, as `Trainer` takes it. */
  readonly carry: ReadonlyMap<string, string>;
}

export interface TrainBatchNormOptions {
  /** Nodes to train; default those whose `training_mode` is set. */
  readonly chosen?: (node: Node) => boolean;
  /** Weight of the old running statistics; default that of the node (0.9 where it has none). */
  readonly momentum?: number;
}

const isTraining = (node: Node): boolean => {
  const mode = node.attributes.training_mode;
  return mode?.kind === 'int' && mode.value === 1;
};

/** Replaces BatchNormalization by a composite of batch statistics and the inference operator; ranks must be known. */
export async function trainBatchNorm(source: Graph, { chosen = isTraining, momentum }: TrainBatchNormOptions = {}): Promise<BatchNormTrained> {
  const isChosen = (node: Node): boolean => node.op === 'BatchNormalization' && node.domain === '' && chosen(node);
  if (!source.nodes.some(isChosen)) return { graph: source, running: [], carry: new Map() };
  const typed = await inferTypes(source);
  const view = viewOf(typed);
  const running: RunningStatistics[] = [];
  const graph = replaceNodes(typed, (node, _view, fresh) => {
    if (!isChosen(node)) return undefined;
    const [x, scale, bias, mean, variance] = node.inputs;
    const shape = view.info(x)?.shape;
    const channelCount = view.info(scale)?.shape?.[0];
    if (shape === undefined || typeof channelCount !== 'number') throw errors.shape({ node: label(node), value: x });
    const numberOf = (name: string, fallback: number): number => { const found = node.attributes[name]; return found?.kind === 'float' ? found.value : fallback; };
    const keep = momentum ?? numberOf('momentum', 0.9);
    const [y] = node.outputs;
    const [batchMean, batchVariance, centred] = ['mean', 'variance', 'centred'].map((part) => fresh(`${y}/batch_${part}`));
    const [oldPart, newPart] = [float32Tensor(fresh('kept'), keep), float32Tensor(fresh('moved'), 1 - keep)];
    const next = (old: string, current: string, name: string): { readonly value: string; readonly nodes: readonly Node[] } => {
      const value = name === '' ? fresh(`${old}/next`) : name;
      const [a, b] = [fresh(`${value}/old`), fresh(`${value}/new`)];
      return { value, nodes: [makeNode('Mul', [old, oldPart.name], [a]), makeNode('Mul', [current, newPart.name], [b]), makeNode('Add', [a, b], [value])] };
    };
    const nextMean = next(mean, batchMean, node.outputs[1] ?? '');
    const nextVariance = next(variance, batchVariance, node.outputs[2] ?? '');
    running.push({ node: node.name, mean, variance, nextMean: nextMean.value, nextVariance: nextVariance.value });
    const channels: ValueInfo['shape'] = [channelCount];
    return {
      nodes: [
        makeNode(batchNormTraining.op, [x, scale, bias], [y, batchMean, batchVariance, centred], {
          name: node.name, domain: compositeDomain, attributes: { epsilon: float(numberOf('epsilon', 1e-5)), rank: int(shape.length), channels: int(channelCount) },
        }),
        ...nextMean.nodes, ...nextVariance.nodes,
      ],
      weights: [oldPart, newPart],
      values: [
        { name: y, type: 'f32', shape }, { name: centred, type: 'f32', shape },
        ...[batchMean, batchVariance, nextMean.value, nextVariance.value].map((name): ValueInfo => ({ name, type: 'f32', shape: channels })),
      ],
    };
  });
  return {
    graph: { ...graph, opset: new Map([...graph.opset, [compositeDomain, 1]]) }, running,
    carry: new Map(running.flatMap(({ mean, variance, nextMean, nextVariance }): [string, string][] => [[mean, nextMean], [variance, nextVariance]])),
  };
}
