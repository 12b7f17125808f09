/** The float model and the GGUF files that were made go on with a text, on the low-bit engine; and how fast, on WASM and on WebGPU. */
import { openBlobs } from '../../src/jobs/source-web.ts';
import type { SourceModel } from '../../src/jobs/source.ts';
import { openTextModel } from '../../src/runtime/text-model.ts';
import type { Calls, Continuation, Tell } from './protocol.ts';
import { troubleOf } from './trouble.ts';
import { opened } from './worker-desk.ts';
import { withoutWebGpu } from './worker-engine.ts';

/** Tokens that tell the speed of a second backend: the text is known by then. */
const timedTokens = 16;
/** Tokens of the longest text, prompt included. */
const context = 1024;

type Give = Calls['write']['give'];

/** Goes on with the prompt; tokens a second after the first. */
async function written(source: SourceModel, device: 'cpu' | 'webgpu', { prompt, tokens }: Pick<Give, 'prompt' | 'tokens'>, onText: (text: string) => void): Promise<{ readonly text: string; readonly tokensPerSecond: number; readonly fellBack?: string }> {
  let fellBack: string | undefined;
  const model = await openTextModel(source.language!, { context, device, onFallback: (reason) => { fellBack = reason; } });
  try {
    if (fellBack !== undefined) return { text: '', tokensPerSecond: 0, fellBack };
    const writing = model.write(prompt, { maxTokens: tokens });
    let shown = '';
    for (;;) {
      const next = await writing.next();
      if (next.done === true) return { text: next.value.text, tokensPerSecond: Math.max(0, next.value.ids.length - 1) / next.value.seconds.decode };
      shown += next.value;
      onText(shown);
    }
  } finally {
    model.dispose();
  }
}

export async function writeOn(give: Give, tell: Tell): Promise<Continuation[]> {
  const noGpu = await withoutWebGpu();
  const continued = async (name: string, source: SourceModel): Promise<Continuation> => {
    const onText = (text: string): void => tell(`${name}: …${text.slice(-60)}`);
    try {
      const { text, tokensPerSecond } = await written(source, 'cpu', give, onText);
      const onGpu = noGpu === undefined ? await written(source, 'webgpu', { ...give, tokens: Math.min(timedTokens, give.tokens) }, onText).catch((error: unknown) => ({ fellBack: troubleOf(error).message, tokensPerSecond: 0 })) : { fellBack: noGpu, tokensPerSecond: 0 };
      return { model: name, text, tokensPerSecond, onWebGpu: onGpu.fellBack ?? onGpu.tokensPerSecond };
    } catch (error) {
      return { model: name, text: '', tokensPerSecond: 0, notRun: troubleOf(error).message };
    }
  };
  const all = [await continued('float', opened().model)];
  for (const { path, blob } of give.made.files.filter((file) => file.path.endsWith('.gguf'))) {
    const source = await openBlobs([{ name: path, blob }]);
    all.push(await continued(path, source));
    await source.close();
  }
  return all;
}
