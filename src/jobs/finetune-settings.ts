/** What a fine-tuning run is asked to do: quantization-aware training, adapters, or plain training of the float model. */
import { z } from 'zod';
import { trainedRecipes } from '../recipes/trained.ts';
import { quantizeSettings } from './settings.ts';

const learned = /^(float|u?int[1-8](\/(channel|tensor|token))?)$/;
const format = z.string().regex(learned, 'must be float, or look like int4/channel');

/** Recipes that round once and train adapters beside the codes, and their alternations of decomposing. */
const frozen: Readonly<Record<string, number>> = { qlora: 0, 'lq-lora': 20 };

/** Whether a recipe leaves the rounded matrices alone. */
export const roundsOfFrozen = (recipe: string): number | undefined => frozen[recipe];

export const finetuneSettings = quantizeSettings
  .pick({ model: true, output: true, data: true, labels: true, evalData: true, evalLabels: true, input: true, task: true, evaluationSamples: true, seed: true, threads: true, overwrite: true, resume: true, verdict: true })
  .extend({
    data: z.string(),
    /** How the quantizers learn: `lsq` learns step sizes; `quest-llm` rotates, fits a grid to each row and token, and trusts gradients near it; `double-rounding` learns many widths at once. */
    recipe: z.enum(trainedRecipes.map(({ name }) => name)).default('lsq'),
    /** Format of weights that training learns for, per output channel; `float` trains the network as it is. Any format where matrices are rounded once; default 4 bits. */
    weights: z.string().optional(),
    /** Format of the inputs of linear layers, per tensor. */
    activations: format.optional(),
    /** Widths that one network learns at once with `double-rounding`, of weights and inputs alike, by falling order: `8,6,4,2`. */
    widths: z.union([z.string().regex(/^[2-8](,[2-8])*$/, 'must look like 8,6,4,2').transform((text) => text.split(',').map(Number)), z.array(z.number().int().min(2).max(8)).min(1)])
      .refine((widths) => widths.every((width, i) => i === 0 || width < widths[i - 1]), 'must fall').optional(),
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
    /** Rank of low-rank adapters: only they are trained, and then merged, or kept beside a rounded base (default 8 there). */
    lora: z.coerce.number().int().positive().optional(),
    loraAlpha: z.coerce.number().positive().default(16),
    /** Steps between checkpoints; default an epoch, at most 200. */
    checkpointEvery: z.coerce.number().int().positive().optional(),
    /** Trains the float network by the same schedule too, for comparison. */
    control: z.boolean().default(false),
  })
  .transform((settings, context) => {
    const isFrozen = roundsOfFrozen(settings.recipe) !== undefined;
    const weights = settings.weights ?? (isFrozen ? 'nf4/b64@bf16+nested8x256' : 'int4/channel');
    const activations = settings.activations ?? (isFrozen ? 'float' : 'int8/tensor');
    const wrong = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    if (!isFrozen && !learned.test(weights)) wrong('weights', 'must be float, or look like int4/channel');
    if (isFrozen && weights === 'float') wrong('weights', `must be a low-bit format with --recipe ${settings.recipe}`);
    if (isFrozen && activations !== 'float') wrong('activations', `must be float with --recipe ${settings.recipe}`);
    const isSwitched = settings.recipe === 'double-rounding';
    if (isSwitched && (settings.weights ?? settings.activations) !== undefined) wrong('weights', 'are not given with --recipe double-rounding: --widths says both');
    if (isSwitched && settings.lora !== undefined) wrong('lora', 'does not go with --recipe double-rounding, which changes all weights');
    if (!isSwitched && settings.widths !== undefined) wrong('widths', 'are for --recipe double-rounding');
    return { ...settings, weights, activations, widths: settings.widths ?? [8, 6, 4, 2], ...(isFrozen ? { lora: settings.lora ?? 8 } : {}) };
  });

export type FinetuneSettings = z.output<typeof finetuneSettings>;
export type FinetuneRequest = z.input<typeof finetuneSettings>;

/** Bits that a spelling asks for; undefined for `float`. */
export const bitsOf = (spelling: string): number | undefined => (spelling === 'float' ? undefined : Number(/\d+/.exec(spelling)?.[0]));
