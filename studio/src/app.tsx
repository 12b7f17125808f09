/** The page: open, see, decide, run, judge, take; and the catalogue of methods. */
import { lazy, Suspense, useEffect, useRef, useState, type ReactNode } from 'react';
import { integer } from '../../src/report/words.ts';
import { StudioWorker, WorkerFailure } from './client.ts';
import { Decide } from './decide.tsx';
import { Open } from './open.tsx';
import type { Continuation, FileRef, Judgement, Made, OpenedModel, Request, Trouble } from './protocol.ts';
import { Result } from './result.tsx';
import { Tensors } from './tensors.tsx';
import { size } from './words.ts';

/** Loaded when it is asked for: it knows every recipe. */
const Catalogue = lazy(async () => ({ default: (await import('./catalogue.tsx')).Catalogue }));

interface Busy { readonly text: string; readonly share?: number; readonly cancellable: boolean }

const troubleOf = (error: unknown): Trouble => (error instanceof WorkerFailure ? error.trouble : { message: error instanceof Error ? error.message : String(error) });

export function App(): ReactNode {
  const worker = useRef<StudioWorker>(undefined);
  worker.current ??= new StudioWorker();
  const [page, setPage] = useState(location.hash === '#methods' ? 'methods' : 'studio');
  const [files, setFiles] = useState<readonly FileRef[]>([]);
  const [model, setModel] = useState<OpenedModel>();
  const [request, setRequest] = useState<Request>();
  const [made, setMade] = useState<Made>();
  const [judgement, setJudgement] = useState<Judgement>();
  const [continuations, setContinuations] = useState<readonly Continuation[]>();
  const [busy, setBusy] = useState<Busy>();
  const [trouble, setTrouble] = useState<Trouble>();

  useEffect(() => {
    const follow = (): void => setPage(location.hash === '#methods' ? 'methods' : 'studio');
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);

  /** One piece of work with its progress; failures become a sentence, and the page goes on. */
  async function working<T>(text: string, cancellable: boolean, work: (tell: (text: string, share?: number) => void) => Promise<T>): Promise<T | undefined> {
    setTrouble(undefined);
    setBusy({ text, cancellable });
    try {
      return await work((now, share) => setBusy({ text: now, cancellable, ...(share === undefined ? {} : { share }) }));
    } catch (error) {
      const found = troubleOf(error);
      if (found.message !== 'cancelled') setTrouble(found);
      return undefined;
    } finally {
      setBusy(undefined);
    }
  }

  async function open(given: readonly FileRef[]): Promise<void> {
    const found = await working('reading', false, () => worker.current!.call('open', { files: given }));
    if (found === undefined) return;
    [setMade, setJudgement, setContinuations, setRequest].forEach((clear) => clear(undefined));
    setFiles(given);
    setModel(found);
  }

  async function run(next: Request): Promise<void> {
    setRequest(next);
    setJudgement(undefined);
    setContinuations(undefined);
    const done = await working('planning', true, (tell) => worker.current!.call('quantize', next, tell));
    setMade(done);
  }

  async function judge(data: readonly FileRef[]): Promise<void> {
    setJudgement(await working('judging', true, (tell) => worker.current!.call('judge', { data }, tell)));
  }

  async function goOn(prompt: string): Promise<void> {
    setContinuations(await working('writing', true, (tell) => worker.current!.call('write', { prompt, tokens: 80 }, tell)));
  }

  async function cancel(): Promise<void> {
    worker.current!.cancel();
    // A new worker knows nothing: the model is read again, in an instant, for only its outline is read.
    if (files.length > 0) await worker.current!.call('open', { files });
  }

  return (
    <>
      <header>
        <a className="name" href="#" aria-current={page === 'studio' ? 'page' : undefined}>fewbit Studio</a>
        <nav><a href="#methods" aria-current={page === 'methods' ? 'page' : undefined}>Methods</a></nav>
        <p>Makes trained networks small, in this page. Nothing is uploaded.</p>
      </header>
      <main>
        {page === 'methods' ? <Suspense fallback={<p>reading the catalogue</p>}><Catalogue /></Suspense> : (
          <>
            <Open onFiles={(given) => void open(given)} onTrouble={setTrouble} compact={model !== undefined} />
            <div aria-live="polite">
              {busy !== undefined && (
                <div className="busy" role="status">
                  <span>{busy.text}</span>
                  <progress {...(busy.share === undefined ? {} : { value: busy.share })} aria-label={busy.text} />
                  {busy.cancellable && <button type="button" onClick={() => void cancel()}>Cancel</button>}
                </div>
              )}
              {trouble !== undefined && (
                <div className="trouble" role="alert"><strong>{trouble.message}</strong>{trouble.wayOut !== undefined && <span>{trouble.wayOut}</span>}</div>
              )}
            </div>
            {model !== undefined && (
              <>
                <section aria-labelledby="model-title">
                  <h2 id="model-title">{model.name}</h2>
                  <p>{model.origin === 'onnx' ? 'ONNX graph' : model.origin === 'gguf' ? 'language model in GGUF' : 'language model in a Hugging Face folder'}, {integer(model.parameters)} weights, {size(model.bytes)}</p>
                  <Tensors model={model} worker={worker.current} />
                </section>
                <Decide key={model.name} model={model} disabled={busy !== undefined} onRun={(next) => void run(next)} />
                {made !== undefined && request !== undefined && <Result model={model} made={made} request={request} judgement={judgement} disabled={busy !== undefined} onJudge={(data) => void judge(data)} continuations={continuations} onTry={(prompt) => void goOn(prompt)} />}
              </>
            )}
          </>
        )}
      </main>
      <footer>Everything happens on this machine, in a worker of this page. <a href="#methods">Methods and their papers</a>.</footer>
    </>
  );
}
