/** What a fine-tuning run is asked to do: quantization-aware training, adapters, or plain training of the float model. */
import { z } from 'zod';
import { trainedRecipes } from '../recipes/trained.ts';
import { quantizeSettings } from './settings.ts';

const format = z.string().regex(/^(float|u?int[1-8](\/(channel|tensor|token))?)$/, 'must be float, or look like int4/channel');

export const finetuneSettings = quantizeSettings
  .pick({ model: true, output: true, data: true, labels: true, evalData: true, evalLabels: true, input: true, task: true, evaluationSamples: true, seed: true, threads: true, overwrite: true, resume: true, verdict: true })
  .extend({
    data: z.string(),
    /** How the quantizers learn: `lsq` learns step sizes; `quest-llm` rotates, fits a grid to each row and token, and trusts gradients near it. */
    recipe: z.enum(trainedRecipes.map(({ name }) => name)).default('lsq'),
    /** Format of weights that training learns for, per output channel; `float` trains the network as it is. */
    weights: format.default('int4/channel'),
    /** Format of the inputs of linear layers, per tensor. */
    activations: format.default('int8/tensor'),
    /** Bits of the first and the last layer. */
    edgeBits: z.coerce.number().int().min(2).max(8).default(8),
    /** Layers left float, by name or `*` pattern. */
    keep: quantizeSettings.shape.keep,
    epochs: z.coerce.number().positive().default(4),
    /** Steps instead of epochs. */
    steps: z.coerce.number().int().positive().optional(),
    /** Samples per update; default 64, of text 8 windows. */
    batch: z.coerce.number().int().positive().optional(),
    /** Learning rate; default 0.001, for all weights of a language model 0.0003. */
    rate: z.coerce.number().positive().optional(),
    optimizer: z.enum(['sgd', 'adam', 'adamw']).default('adamw'),
    schedule: z.enum(['cosine', 'linear', 'constant']).default('cosine'),
    warmup: z.coerce.number().int().nonnegative().default(0),
    decay: z.coerce.number().nonnegative().default(1e-4),
    clipNorm: z.coerce.number().positive().optional(),
    /** Weight of the float model's answers in the loss, 0 to 1. */
    distill: z.coerce.number().min(0).max(1).default(0),
    temperature: z.coerce.number().positive().default(1),
    /** Random views of images: `flip`, `shift=N`. */
    augment: z.string().regex(/^(flip|shift=\d+)(,(flip|shift=\d+))*$/, 'must look like flip,shift=4').optional(),
    /** Rank of low-rank adapters: only they are trained, and then merged. */
    lora: z.coerce.number().int().positive().optional(),
    loraAlpha: z.coerce.number().positive().default(16),
    /** Steps between checkpoints; default an epoch, at most 200. */
    checkpointEvery: z.coerce.number().int().positive().optional(),
    /** Trains the float network by the same schedule too, for comparison. */
    control: z.boolean().default(false),
  });

export type FinetuneSettings = z.output<typeof finetuneSettings>;
export type FinetuneRequest = z.input<typeof finetuneSettings>;

/** Bits that a spelling asks for; undefined for `float`. */
export const bitsOf = (spelling: string): number | undefined => (spelling === 'float' ? undefined : Number(/\d/.exec(spelling)![0]));
