/** COMET: 4-bit weights, and inputs of 4 bits but for the blocks that hold the largest channels. */
import type { Recipe, Step } from './recipe.ts';

type Wide = Extract<Step, { step: 'mix-blocks' }>['wide'];

function withWide(name: string, wide: Wide, which: string): Recipe {
  return {
    name,
    summary: `4-bit weights; inputs in 4 bits by block, and in 8 in ${which}, where sorting puts the largest channels.`,
    paper: { title: 'COMET: Towards Partical W4A4KV4 LLMs Serving', arxiv: '2410.12168' },
    needs: ['sample inputs'],
    steps: [{ step: 'mix-blocks', wide, most: 0.15, sort: true }, { step: 'round', rounder: 'nearest' }],
    formats: ['int4/g128'], exports: ['onnx', 'transformers.js'],
  };
}

export const comet = withWide('comet', 'rule', 'blocks with channels above six times the median');
/** Networks without outliers have no such block: this is what an eighth of the blocks costs and gives. */
export const cometEighth = withWide('comet-eighth', 1 / 8, 'an eighth of the blocks');
