/** ARCQuant: the largest channels of each input are multiplied once more, with what rounding took from them. */
import type { Recipe, Step } from './recipe.ts';

type Channels = Extract<Step, { step: 'residual-channels' }>['channels'];

function withChannels(name: string, channels: Channels, which: string): Recipe {
  return {
    name,
    summary: `NVFP4 weights and inputs; what rounding takes from ${which} input channels follows as more channels of the same product.`,
    paper: { title: 'ARCQuant: Boosting NVFP4 Quantization with Augmented Residual Channels for LLMs', arxiv: '2601.07475' },
    needs: ['sample inputs'],
    steps: [{ step: 'sort-channels' }, { step: 'round', rounder: 'nearest' }, { step: 'residual-channels', channels, samples: 256 }],
    formats: ['nvfp4:nvfp4', 'mxfp4:mxfp4', 'int4/g128:int4/g128'], exports: ['onnx', 'transformers.js'],
  };
}

export const arcquant = withChannels('arcquant', 'rule', 'the largest');
/** The rule keeps most channels of networks without outliers: these are what it costs and gives at fixed widths. */
export const arcquantEighth = withChannels('arcquant-eighth', 1 / 8, 'the largest eighth of the');
export const arcquantAll = withChannels('arcquant-all', 1, 'all');
