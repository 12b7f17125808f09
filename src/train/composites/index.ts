/** Composites of training, by operator name. */
import type { Composite, CompositeTable } from '../../graph/composite.ts';
import { adaptedProduct } from './adapted-product.ts';
import { blockHadamard } from './block-hadamard.ts';
import { doubleRound } from './double-round.ts';
import { dynamicQuantize } from './dynamic-quantize.ts';
import { fakeQuantize } from './fake-quantize.ts';
import { rangeQuantize } from './range-quantize.ts';
import { rectifiedSigmoid } from './rectified-sigmoid.ts';
import { roundingRegulariser } from './rounding-regulariser.ts';
import { stopGradient } from './stop-gradient.ts';
import { trustQuantize } from './trust-quantize.ts';

const rows: readonly Composite[] = [adaptedProduct, stopGradient, fakeQuantize, dynamicQuantize, trustQuantize, blockHadamard, doubleRound, rangeQuantize, rectifiedSigmoid, roundingRegulariser];

export const composites: CompositeTable = new Map(rows.map((row) => [row.op, row]));
