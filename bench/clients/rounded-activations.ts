/**
 * The graph of a GGUF file with the rounding that llama.cpp does on its CPU: what enters a matrix is rounded first, to the
 * type that the matrix's own type is multiplied with (ggml-cpu, `vec_dot_type`). Half precision for F16; 8-bit integers
 * with a half-precision scale per 32 values (Q8_0, Q8_1) for types in blocks of 32, with a float32 scale per 256 values
 * (Q8_K) for types in blocks of 256.
 */
import type { TensorRef, TensorType } from '../../src/tensor-ref.ts';
import { float32Tensor, int, int64Tensor } from '../../src/graph/build.ts';
import type { Graph, Node } from '../../src/graph/graph.ts';
import { makeNode, replaceNodes, type Fresh } from '../../src/graph/rewrite.ts';

export interface Rounding {
  /** Values that share a scale; 1 is half precision. */
  readonly block: 1 | 32 | 256;
}

/** How activations are rounded for a matrix of a type; undefined for float32, which rounds nothing. */
export function roundingOf(type: TensorType): Rounding | undefined {
  switch (type) {
    case 'f32': return undefined;
    case 'f16': return { block: 1 };
    case 'q2_k': case 'q3_k': case 'q4_k': case 'q5_k': case 'q6_k': case 'iq4_xs': return { block: 256 };
    case 'q4_0': case 'q5_0': case 'q5_1': case 'q8_0': case 'iq4_nl': case 'mxfp4': return { block: 32 };
    default: throw new Error(`no rounding is known for ${type}`);
  }
}

/** ONNX's number of an element type, as Cast takes it. */
const [float32, float16] = [1, 10];

/** `typeOf` gives the stored type of a weight of the graph. */
export function withRoundedActivations(graph: Graph, typeOf: (weight: TensorRef) => TensorType): Graph {
  const transposes = new Map(graph.nodes.filter(({ op }) => op === 'Transpose').map(({ inputs, outputs }) => [outputs[0], inputs[0]]));
  const made = new Map<string, string>();
  return replaceNodes(graph, (node, _view, fresh) => {
    const weight = node.op === 'MatMul' ? graph.weights.get(node.inputs[1]) ?? graph.weights.get(transposes.get(node.inputs[1]) ?? '') : undefined;
    const rounding = weight === undefined ? undefined : roundingOf(typeOf(weight));
    if (rounding === undefined) return undefined;
    const key = `${node.inputs[0]} ${rounding.block}`;
    const known = made.get(key);
    if (known !== undefined) return [{ ...node, inputs: [known, node.inputs[1]] }];
    const { nodes, weights, output } = round(node.inputs[0], rounding, fresh);
    made.set(key, output);
    return { nodes: [...nodes, { ...node, inputs: [output, node.inputs[1]] }], weights };
  });
}

/** x [1, tokens, K] → what its codes say. */
function round(x: string, { block }: Rounding, fresh: Fresh): { nodes: Node[]; weights: TensorRef[]; output: string } {
  const nodes: Node[] = [];
  const op = (type: string, inputs: readonly string[], attributes: Node['attributes'] = {}): string => {
    const output = fresh(`${x}/rounded/${type}`);
    nodes.push(makeNode(type, inputs, [output], { attributes }));
    return output;
  };
  const half = (value: string): string => op('Cast', [op('Cast', [value], { to: int(float16) })], { to: int(float32) });
  if (block === 1) return { nodes, weights: [], output: half(x) };
  const weights: TensorRef[] = [];
  const constant = (tensor: TensorRef): string => {
    weights.push(tensor);
    return tensor.name;
  };
  const blocks = op('Reshape', [x, constant(int64Tensor(fresh('blocks'), [0, 0, -1, block]))]);
  const top = op('ReduceMax', [op('Abs', [blocks]), constant(int64Tensor(fresh('axes'), [-1]))], { keepdims: int(1) });
  const levels = constant(float32Tensor(fresh('levels'), 127));
  // The order of operations of ggml: the value is multiplied by 127 ÷ largest. A block of zeros has codes of zero whatever the factor.
  const largest = op('Max', [top, constant(float32Tensor(fresh('tiny'), 1e-30))]);
  const factor = op('Div', [levels, largest]);
  const codes = op('Round', [op('Mul', [blocks, factor])]);
  const scale = block === 32 ? half(op('Div', [largest, levels])) : op('Reciprocal', [factor]);
  const decoded = op('Mul', [codes, scale]);
  return { nodes, weights, output: op('Reshape', [decoded, constant(int64Tensor(fresh('whole'), [0, 0, -1]))]) };
}
