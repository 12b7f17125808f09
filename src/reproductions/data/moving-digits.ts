/**
 * Short films of a digit that moves over a still, slightly flickering ground, as tokens, with questions about them. A
 * frame has 16 × 16 pixels of four grey levels; a token is a patch of 2 × 2 pixels, 64 of them a frame in reading order.
 * Digits move by one patch a frame in one of eight directions and come in again on the other side.
 */
import { randomInteger, uniform } from '../../numeric/random.ts';

/** Of a whole film; training begins with shorter ones. */
export const wholeFilm = 8;
/** Patches along a side of a frame. */
const side = 8;
/** Patches of a frame. */
const frameTokens = side * side;
export const visualTokens = wholeFilm * frameTokens;
const levels = 4;
const patchTokens = levels ** 4;

/** What is asked, in this order: a token for the question, and one for each answer behind the answers before it. */
export const questions = [{ name: 'digit', answers: 10 }, { name: 'direction', answers: 8 }, { name: 'column', answers: side }] as const;
const questionToken = (q: number): number => patchTokens + q;
const answerToken = (q: number, answer: number): number => patchTokens + questions.length + questions.slice(0, q).reduce((sum, { answers }) => sum + answers, 0) + answer;
/** Filled up to a multiple of 32. */
export const vocabulary = 288;
/** Tokens that a model reads of a film of so many frames: the film, and each question with the answers to those before it. */
export const filmTokens = (frames = wholeFilm): number => frames * frameTokens + 2 * questions.length - 1;
/** Rows whose next token is the answer to a question. */
export const answerRows = (frames = wholeFilm): readonly number[] => questions.map((_, q) => frames * frameTokens + 2 * q);
/** Ids of the answers to a question. */
export const answersOf = (q: number): readonly number[] => Array.from({ length: questions[q].answers }, (_, answer) => answerToken(q, answer));
/** Ids of the questions: the text that goes with a film. */
export const questionTokens: readonly number[] = questions.map((_, q) => questionToken(q));

/** Digits of 5 × 7 pixels, drawn for this purpose. */
const glyphs = [
  ' ### ,#   #,#  ##,# # #,##  #,#   #, ### ', '  #  , ##  ,# #  ,  #  ,  #  ,  #  ,#####', ' ### ,#   #,    #,  ## , #   ,#    ,#####', '#### ,    #,    #, ### ,    #,    #,#### ',
  '#  # ,#  # ,#  # ,#####,   # ,   # ,   # ', '#####,#    ,#### ,    #,    #,#   #, ### ', ' ### ,#    ,#    ,#### ,#   #,#   #, ### ', '#####,    #,   # ,  #  , #   , #   , #   ',
  ' ### ,#   #,#   #, ### ,#   #,#   #, ### ', ' ### ,#   #,#   #, ####,    #,    #, ### ',
].map((rows) => rows.split(','));

/** Shares of pixels of the ground that are grey, and of pixels that flicker in a frame. */
const [grey, flicker] = [0.1, 0.02];
const steps = [[0, 1], [1, 1], [1, 0], [1, -1], [0, -1], [-1, -1], [-1, 0], [-1, 1]] as const;

export interface Film {
  /** The film, then questions and answers: one more than filmTokens(frames). */
  readonly tokens: readonly number[];
  /** Right answers, by question. */
  readonly answers: readonly number[];
}

/** Film number `index` of a seed. */
export function film(seed: number, index: number, frames = wholeFilm): Film {
  const stream = 4 * index;
  const draw = (i: number, count: number): number => randomInteger(seed, stream, i, count);
  const [digit, direction, row, column] = [draw(0, 10), draw(1, 8), draw(2, side), draw(3, side)];
  const [down, right] = steps[direction];
  const pixels = 2 * side;
  const wrapped = (at: number, size: number): number => ((at % size) + size) % size;
  const tokens: number[] = [];
  for (let frame = 0; frame < frames; frame++) {
    const picture = Uint8Array.from({ length: pixels * pixels }, (_, i) =>
      (uniform(seed, stream + 2, frame * pixels * pixels + i) < flicker ? 2 : uniform(seed, stream + 1, i) < grey ? 1 : 0));
    const [top, left] = [2 * (row + frame * down), 2 * (column + frame * right)];
    glyphs[digit].forEach((line, y) => [...line].forEach((mark, x) => {
      if (mark === '#') picture[wrapped(top + y, pixels) * pixels + wrapped(left + x, pixels)] = levels - 1;
    }));
    for (let y = 0; y < pixels; y += 2) for (let x = 0; x < pixels; x += 2) tokens.push([0, 1, pixels, pixels + 1].reduce((code, at) => code * levels + picture[y * pixels + x + at], 0));
  }
  const answers = [digit, direction, wrapped(column + (frames - 1) * right, side)];
  return { answers, tokens: [...tokens, ...answers.flatMap((answer, q) => [questionToken(q), answerToken(q, answer)])] };
}
