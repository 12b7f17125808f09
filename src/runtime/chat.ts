/** Messages as the text that a model was trained on, by the chat template that comes with it. */
import { defineErrors } from '../errors.ts';
import type { TokenizerFiles } from '../models/tokenizer-files.ts';

export interface Message { readonly role: string; readonly content: string }

/** Published templates stay below 20 kB. */
const maxTemplate = 200_000;

const errors = defineErrors('chat', {
  none: (_: Record<string, never>) => ['the model has no chat template', 'give plain text with --prompt instead of --chat'],
  unknown: (f: { name: string; known: string }) => `the model has no chat template named ${f.name} (it has: ${f.known})`,
  invalid: (f: { reason: string }) => `the chat template cannot be used: ${f.reason}`,
});

/** The templates of a model by name; the usual one is called `default`. */
export function chatTemplates({ config, others }: TokenizerFiles): ReadonlyMap<string, string> {
  const file = others.get('chat_template.jinja');
  if (file !== undefined) return new Map([['default', new TextDecoder().decode(file)]]);
  const given: unknown = config.chat_template;
  if (typeof given === 'string') return new Map([['default', given]]);
  if (!Array.isArray(given)) return new Map();
  return new Map((given as { name?: unknown; template?: unknown }[]).flatMap(({ name, template }) => (typeof name === 'string' && typeof template === 'string' ? [[name, template] as const] : [])));
}

/** The prompt for an answer to the last message, by the template of this name; `default` is the usual one. */
export type ChatPrompt = (messages: readonly Message[], name?: string) => string;

/** Loads what renders templates where the model has one. What is wrong with a template is said when it is used: the model writes plain text all the same. */
export async function openChat(files: TokenizerFiles): Promise<ChatPrompt> {
  const templates = chatTemplates(files);
  if (templates.size === 0) return () => { throw errors.none({}); };
  const { render } = await import('./chat-template.ts');
  const token = (key: string): string => {
    const value: unknown = files.config[key];
    return typeof value === 'string' ? value : typeof value === 'object' && value !== null && typeof (value as { content?: unknown }).content === 'string' ? (value as { content: string }).content : '';
  };
  return (messages, name = 'default') => {
    const source = templates.get(name);
    if (source === undefined) throw errors.unknown({ name, known: [...templates.keys()].join(', ') });
    if (source.length > maxTemplate) throw errors.invalid({ reason: `it has ${source.length} characters, at most ${maxTemplate} are read` });
    try {
      return render(source, { messages: messages.map((message) => ({ ...message })), add_generation_prompt: true, bos_token: token('bos_token'), eos_token: token('eos_token') });
    } catch (error) {
      throw errors.invalid({ reason: (error instanceof Error ? error.message : String(error)).split('\n')[0].slice(0, 200) });
    }
  };
}
