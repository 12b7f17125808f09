/** SpecMQuant: does guessing pay for a model in 4 bits, by chain, by tree, and by a small model that is guessed for itself; and does the cost model know? */
import { mean } from '../numeric/statistics.ts';
import { ChainDrafter } from '../runtime/draft-chain.ts';
import { acceptedLength, SpeculativeDecoder, type SpeculationCounts } from '../runtime/speculate.ts';
import { predictedSpeedUp } from '../runtime/speculation-cost.ts';
import { openSpeculationHost, openWide, weightKinds, wideSize, type SpeculationHost, type Weights } from './data/speculation.ts';
import { drawnChiSquare } from './drawn-chi-square.ts';
import { check, measured, notInPage, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { arms, chainLengths, measurePasses, passTime, predicted, writeGreedy, type PassTimes } from './speculation-arms.ts';

const reduced = { prompts: 4, promptTokens: 24, written: 96, passRuns: 15, wideRuns: 3, draws: 20_000 } as const;
const whole = { prompts: 32, promptTokens: 24, written: 200, passRuns: 51, wideRuns: 11, draws: 100_000 } as const;
const short = { ...reduced, prompts: 3, passRuns: 7, draws: 4000 } as const;
type Protocol = typeof reduced | typeof whole | typeof short;

const targetSizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 31, 32, 48, 64];
const draftSizes = [1, 2, 3, 4, 8, 10, 20];
const wideSizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 32, 64];

/** What one arm did on each prompt. */
interface Judged { readonly speedUps: number[]; readonly rates: number[]; readonly accepted: number[]; readonly inner: number[]; readonly counted: Counted[]; predictions: readonly number[]; different: number }
interface Counted { readonly counts: SpeculationCounts; readonly inner: SpeculationCounts | undefined }

interface OnWeights { readonly arms: readonly Arm[]; readonly judged: ReadonlyMap<string, Judged>; readonly times: PassTimes; readonly draftStep: number }

async function run({ seeds, threads, full, page, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? whole : page ? short : reduced;
  const host = await openSpeculationHost(threads);
  try {
    const small = new Map<Weights, OnWeights>();
    for (const weights of weightKinds) {
      small.set(weights, await decode(host, weights, protocol, seeds));
      say(`decoded in ${weights}`);
    }
    const wide = new Map<Weights, PassTimes>();
    for (const weights of page ? [] : weightKinds) {
      const decoder = await openWide(weights, threads);
      wide.set(weights, measurePasses(decoder, wideSizes, protocol.wideRuns, host.milliseconds));
      decoder.dispose();
      say(`passes of a wide model in ${weights}`);
    }
    const drawn = await draw(host, protocol.draws);
    say('drawn');
    return {
      protocol,
      arms: [...weightKinds.flatMap((weights) => small.get(weights)!.arms), ...[...wide].flatMap(([weights, times]) => wideArms(weights, times, small.get(weights)!))],
      checks: [...lossless(small), ...drawn, ...(page ? [] : passes(wide)), ...lengths(small), ...predictions(small), ...comparisons(small.get('W4')!)],
      notApplicable: [
        ...(page ? [notInPage('the wide model', 'its float weights take half a gigabyte')] : []),
        { arm: 'W4A16 by GPTQ, W4A8 by QQQ and QoQ, W8A8; Llama-3-70B with EAGLE-2 on Spec-Bench', reason: 'the model of the repository has 3.6 million weights; any weights in 4 bits cost the same time, and every text here is that of the model itself' },
        { arm: 'a draft head on the hidden states of the model (EAGLE-2)', reason: 'the draft is a model of its own; its tree grows as EAGLE-2 grows one' },
      ],
      notes: [
        'model: host-llama-shakespeare; draft: draft-llama-shakespeare, trained on its scores; W4 is Q4_0 of both, groups of 32 with one scale, inputs rounded to 8 bits; n-grams of the text guess for the draft',
        `speed-ups are of the same prompt in the same run, prompts not timed; predictions take passes that were timed alone; times are ${threads === 1 && !page ? 'those of the processor, so that other work on the machine does not count' : 'those of the clock'}`,
        `the wide model: ${wideSize.layers} layers of width ${wideSize.hidden} and ${wideSize.intermediate} inside, random weights; its predictions take what was accepted by the small pair and a draft of the same relative cost`,
      ],
    };
  } finally {
    await host.close();
  }
}

async function decode(host: SpeculationHost, weights: Weights, { prompts, promptTokens, written, passRuns }: Protocol, seeds: readonly number[]): Promise<OnWeights> {
  const [target, draft] = [await host.target(weights), await host.draft(weights)];
  try {
    const made = Object.entries(arms).map(([name, make]) => ({ name, speculation: make(target, draft) }));
    const judged = new Map(made.map(({ name }): [string, Judged] => [name, { speedUps: [], rates: [], accepted: [], inner: [], counted: [], predictions: [], different: 0 }]));
    const plainRates: number[] = [];
    for (const prompt of seeds.flatMap((seed) => host.prompts(prompts, promptTokens, seed))) {
      const plain = await writeGreedy(target, prompt, written, host.milliseconds);
      plainRates.push((1000 * (written - 1)) / plain.milliseconds);
      for (const { name, speculation } of made) {
        const { decoder, inner } = speculation;
        const one = judged.get(name)!;
        for (const part of [decoder, inner]) part?.countAnew();
        const found = await writeGreedy(decoder, prompt, written, host.milliseconds);
        one.different += found.ids.some((id, i) => id !== plain.ids[i]) ? 1 : 0;
        one.speedUps.push(plain.milliseconds / found.milliseconds);
        one.rates.push((1000 * (written - 1)) / found.milliseconds);
        one.accepted.push(acceptedLength(decoder.counts));
        if (inner !== undefined) one.inner.push(acceptedLength(inner.counts));
        one.counted.push({ counts: decoder.counts, inner: inner?.counts });
      }
    }
    // Passes are timed last: what runs for the first times is slower, and is compiled meanwhile.
    const times = measurePasses(target, targetSizes, passRuns, host.milliseconds);
    const draftTimes = measurePasses(draft, draftSizes, passRuns, host.milliseconds);
    for (const { name, speculation } of made) {
      const one = judged.get(name)!;
      one.predictions = one.counted.map(({ counts, inner }) => predicted(speculation, times, draftTimes, counts, inner));
    }
    const passArm = (name: string, found: PassTimes): Arm => ({
      name, metrics: Object.fromEntries([...found].filter(([size]) => [1, 2, 4, 8, 16, 32, 64].includes(size)).map(([size, time]) => (size === 1 ? ['step, ms', measured([time])] : [`T(${size})/T(1)`, measured([time / passTime(found, 1)])]))),
    });
    return {
      judged, times, draftStep: passTime(draftTimes, 1) / passTime(times, 1),
      arms: [
        { name: `${weights}: plain`, metrics: { 'tokens/s': measured(plainRates) } },
        ...[...judged].map(([name, { rates, speedUps, predictions, accepted, inner }]): Arm => ({
          name: `${weights}: ${name}`, metrics: {
            'tokens/s': measured(rates), 'speed-up': measured(speedUps), 'predicted': measured(predictions), 'tokens per pass': measured(accepted), ...(inner.length === 0 ? {} : { 'of the draft': measured(inner) }),
          },
        })),
        passArm(`${weights}: passes of the model`, times), passArm(`${weights}: passes of the draft`, draftTimes),
      ],
    };
  } finally {
    target.dispose();
    draft.dispose();
  }
}

function wideArms(weights: Weights, times: PassTimes, { judged, draftStep }: OnWeights): Arm[] {
  const step = passTime(times, 1);
  return [
    { name: `wide, ${weights}: passes`, metrics: Object.fromEntries(wideSizes.filter((size) => [1, 2, 4, 8, 16, 32, 64].includes(size)).map((size) => (size === 1 ? ['step, ms', measured([step])] : [`T(${size})/T(1)`, measured([times.get(size)! / step])]))) },
    ...chainLengths.map((length): Arm => {
      const tokens = mean(judged.get(`chain of ${length}`)!.accepted);
      return { name: `wide, ${weights}: chain of ${length}`, metrics: { predicted: measured([predictedSpeedUp({ acceptedLength: tokens, passes: length, draft: draftStep, verify: times.get(length + 1)! / step })]), 'tokens per pass': measured([tokens]) } };
    }),
  ];
}

/** Draws of the model in 4 bits, guessed by the draft in floats, for which the draft in 4 bits guesses. */
async function draw(host: SpeculationHost, draws: number): Promise<Check[]> {
  const decoders = [await host.target('W4'), await host.draft('float'), await host.draft('W4')] as const;
  const [prompt] = host.prompts(1, 12, 1000);
  try {
    const checks: Check[] = [];
    for (const [name, levels] of [['one level', 1], ['both levels', 2]] as const) {
      const { statistic, limit, freedom, guessed } = await drawnChiSquare(decoders, prompt, draws, (target, draft, below) =>
        new SpeculativeDecoder(target, new ChainDrafter(levels === 1 ? draft : new SpeculativeDecoder(draft, new ChainDrafter(below, 2, 2)), 3)));
      checks.push(check(`drawn tokens follow the chances of the model, ${name}`, `χ² of ${draws} texts of three tokens at most ${limit.toFixed(0)}, which is passed once in a thousand`, `${statistic.toFixed(0)} at ${freedom} degrees of freedom, ${guessed} guesses taken`, statistic <= limit));
    }
    return checks;
  } finally {
    for (const decoder of decoders) decoder.dispose();
  }
}

const lossless = (small: ReadonlyMap<Weights, OnWeights>): Check[] => [...small].map(([weights, { judged }]) => {
  const wrong = [...judged].filter(([, { different }]) => different > 0).map(([name]) => name);
  return check(`the likeliest tokens of every arm, ${weights}`, 'those of the model alone, token for token', wrong.length === 0 ? 'the same in all arms' : `other tokens: ${wrong.join(', ')}`, wrong.length === 0);
});

function passes(wide: ReadonlyMap<Weights, PassTimes>): Check[] {
  const ratio = (weights: Weights, size: number): number => wide.get(weights)!.get(size)! / wide.get(weights)!.get(1)!;
  return [
    check('a pass over 16 tokens, wide model', 'dearer in 4 bits than in floats, each in its own steps', `${ratio('W4', 16).toFixed(1)} and ${ratio('float', 16).toFixed(1)} steps`, ratio('W4', 16) > ratio('float', 16)),
    ...[8, 16, 64].map((size) => check(`a pass over ${size} tokens in 4 bits, wide model`, `less than ${size} steps`, `${ratio('W4', size).toFixed(2)} steps`, ratio('W4', size) < size)),
  ];
}

function lengths(small: ReadonlyMap<Weights, OnWeights>): Check[] {
  const of = (weights: Weights, name: string): number => mean(small.get(weights)!.judged.get(name)!.accepted);
  const changes = chainLengths.map((length) => of('W4', `chain of ${length}`) / of('float', `chain of ${length}`) - 1);
  const most = Math.max(...changes.map(Math.abs));
  return [check('tokens per pass of chains, 4 bits against floats', 'within 10 %', `${changes.map((change) => `${(100 * change).toFixed(1)} %`).join(', ')}`, most <= 0.1)];
}

/** Predictions as near as this to 1 decide nothing. */
const undecided = 0.1;

const predictions = (small: ReadonlyMap<Weights, OnWeights>): Check[] => [...small].flatMap(([weights, { judged }]) => {
  const all = [...judged].map(([name, { speedUps, predictions: said }]) => ({ name, found: mean(speedUps), said: mean(said) }));
  const off = mean(all.map(({ found, said }) => Math.abs(said / found - 1)));
  const wrong = all.filter(({ found, said }) => Math.abs(said - 1) > undecided && (said > 1) !== (found > 1));
  const far = all.toSorted((a, b) => Math.abs(b.said / b.found - 1) - Math.abs(a.said / a.found - 1)).slice(0, 3);
  const finding = `farthest off: ${far.map(({ name, said, found }) => `${name} ${said.toFixed(2)} predicted, ${found.toFixed(2)} measured`).join('; ')}. The model counts passes alone; what lies between them (choosing among guesses, copies of logits) is not small where a step takes a fraction of a millisecond`;
  return [
    check(`predicted against measured speed-ups, ${weights}`, 'within 15 % on average over the arms', `${(100 * off).toFixed(1)} %`, off <= 0.15, finding),
    check(`whether guessing pays, ${weights}`, `as predicted, where the prediction is ${100 * undecided} % from 1 or more`, wrong.length === 0 ? 'as predicted in all arms' : `otherwise: ${wrong.map(({ name }) => name).join(', ')}`, wrong.length === 0, finding),
  ];
});

function comparisons({ judged, times, draftStep }: OnWeights): Check[] {
  const of = (name: string): readonly number[] => judged.get(name)!.speedUps;
  const best = (names: readonly string[]): string => names.toSorted((a, b) => mean(of(b)) - mean(of(a)))[0];
  const [chain, tree, levels] = [chainLengths.map((length) => `chain of ${length}`), ['tree of 8', 'tree of 30'], ['two levels, 3', 'two levels, 6']].map(best);
  const ratio = (one: string, other: string): number => mean(of(one).map((value, i) => value / of(other)[i]));
  const dear = `the cost model says ${mean(judged.get(levels)!.predictions).toFixed(2)}: a pass over 4 tokens costs ${(passTime(times, 4) / passTime(times, 1)).toFixed(1)} steps and a step of the draft ${draftStep.toFixed(2)}, for ${mean(judged.get(levels)!.accepted).toFixed(2)} tokens. Here arithmetic bounds a step, where on the paper's GPU reading the weights does`;
  return [
    check('4 bits: chain against tree', 'the best chain is faster than the best tree', `${chain} is ${ratio(chain, tree).toFixed(2)} times as fast as ${tree}`, ratio(chain, tree) > 1),
    { ...check('4 bits: two levels against tree', 'faster', `${levels} is ${ratio(levels, tree).toFixed(2)} times as fast as ${tree}`, ratio(levels, tree) > 1), paper: '1.31 times EAGLE-2' },
    { ...check('4 bits: two levels against the model alone', 'faster', `${levels}: ${mean(of(levels)).toFixed(2)} times as fast`, mean(of(levels)) > 1, dear), paper: '2.78 times' },
  ];
}

export const specmquant: Reproduction = {
  recipe: 'specmquant',
  paper: { title: 'Speculative Decoding Meets Quantization: Compatibility Evaluation and Hierarchical Framework Design', arxiv: '2505.22179' },
  claim: 'Weights in 4 bits lose most of what trees of guesses gain, because verifying a tree costs much more than a step; a small quantized model that is guessed for itself and writes a chain brings Llama-3-70B in W4A16 to 2.78 times its plain speed, 1.31 times that of EAGLE-2.',
  experiment: 'A language model and a draft trained on its scores, in floats and in 4 bits: alone, with n-grams, chains of 2 to 8, trees, and two levels; passes over 1 to 64 tokens, also of a model 2048 wide; speed-ups measured and predicted.',
  data: [],
  minutes: 6,
  run,
};
