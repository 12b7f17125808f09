/** Talks with a language model, line by line: by its chat template with everything said before, or, where it has none, every line by itself. */
import type { z } from 'zod';
import { FewbitError } from '../errors.ts';
import type { Message } from '../runtime/chat.ts';
import type { Generated } from '../runtime/generate.ts';
import { silentProgress, type Progress } from './progress.ts';
import { openWriter, speedOf, writerSettings, written, type RunResult } from './run-node.ts';
import { checkSettings } from './settings.ts';

export type ConverseRequest = z.input<typeof writerSettings>;

/** An answer, with the tokens per second it was read and written at. */
export interface Answer extends Generated { readonly speed: RunResult['speed'] }

export interface ConverseOptions {
  /** Before the first line is asked for: what is open, and whether lines belong together. */
  onOpen?(model: { readonly name: string; readonly chats: boolean }): void;
  onText?(text: string): void;
  onAnswer?(answer: Answer): void;
  /** Before every line that is waited for. */
  onTurn?(): void;
  /** A line that could not be answered; it counts as not said. */
  onRefused?(error: FewbitError): void;
  readonly progress?: Progress;
  /** Cancels the answer that is about to begin. */
  signal?(): AbortSignal;
}

/** What forgets all that was said. */
export const forgetting = '/clear';

/** Reads lines until there are none. */
export async function converse(request: ConverseRequest, lines: AsyncIterable<string>, { onOpen, onTurn, onText, onAnswer, onRefused, progress = silentProgress, signal }: ConverseOptions = {}): Promise<void> {
  const writer = await openWriter(checkSettings(writerSettings, request), progress);
  const { model, chats } = writer;
  try {
    onOpen?.(writer);
    let said: readonly Message[] = [];
    const answer = async (line: string): Promise<void> => {
      const asked: readonly Message[] = [...said, { role: 'user', content: line }];
      const options = writer.options(signal?.());
      const made = await written(chats ? model.chat(writer.messages(asked), options) : model.write(line, options), onText);
      if (chats) said = [...asked, { role: 'assistant', content: made.text }];
      onAnswer?.({ ...made, speed: speedOf(made) });
    };
    onTurn?.();
    for await (const line of lines) {
      if (line.trim() === forgetting) said = [];
      else if (line.trim() !== '') await answer(line).catch((error: unknown) => {
        if (!(error instanceof FewbitError) || onRefused === undefined) throw error;
        onRefused(error);
      });
      onTurn?.();
    }
  } finally {
    model.dispose();
  }
}
