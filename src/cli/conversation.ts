/** `fewbit run` without a prompt: lines from a terminal, answers as they are written. */
import { createInterface } from 'node:readline';
import { harmless } from '../errors.ts';
import { converse, forgetting, type ConverseRequest } from '../jobs/converse-node.ts';
import { complain, onScreen } from './output.ts';
import { terminalProgress } from './progress.ts';

const asking = '> ';

/** Ends with the input. Ctrl-C ends an answer; where none is being written, the conversation. */
export async function conversation(request: ConverseRequest): Promise<void> {
  const { stdin, stdout, stderr } = process;
  const terminal = createInterface({ input: stdin, output: stderr, prompt: asking });
  // Lines that come while the model is loaded wait for it.
  const lines = terminal[Symbol.asyncIterator]();
  let answering: AbortController | undefined;
  terminal.on('SIGINT', () => {
    if (answering === undefined) terminal.close();
    else answering.abort();
  });
  await converse(request, lines, {
    progress: terminalProgress(),
    onOpen({ name, chats }) {
      stderr.write(`${harmless(name)}: ${chats ? `${forgetting} forgets what was said, ` : 'it has no chat template, so every line is continued by itself; '}Ctrl-C ends an answer, Ctrl-D all\n`);
    },
    onTurn() {
      answering = undefined;
      terminal.prompt();
    },
    signal: () => (answering = new AbortController()).signal,
    onText: (text) => { stdout.write(onScreen(text)); },
    onAnswer({ ids, end, speed }) {
      stdout.write('\n');
      stderr.write(`${ids.length} tokens (${end}), ${speed.decode.toFixed(0)} tokens/s\n`);
    },
    onRefused: complain,
  });
}
