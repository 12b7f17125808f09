/** Options of `run` and `serve` that say who guesses for the model, and where its tokenizer is. */
import type { Command } from 'commander';

export const draftOptions = (command: Command): Command =>
  command
    .option('--tokenizer <folder>', 'folder with the tokenizer.json of a model that has none beside it')
    .option('--draft <models...>', "who guesses what follows, which changes no text: a small model of the same tokenizer, or ngram for the text's own phrases; one more guesses for the small model")
    .option('--draft-tokens <n>', 'tokens that are guessed for a pass (default: 4)')
    .option('--draft-tree', 'the small model guesses a tree of likely ways to go on');
