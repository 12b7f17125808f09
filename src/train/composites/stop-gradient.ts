import type { Composite } from '../../graph/composite.ts';

/** The value as it is; no gradient passes. */
export const stopGradient: Composite = {
  op: 'StopGradient',
  expand: (node, tape) => [tape.op('Identity', [node.inputs[0]])],
  gradient: () => [undefined],
};
