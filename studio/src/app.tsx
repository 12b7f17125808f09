/** The page: open, see, decide, run, judge, take; and the catalogue of methods. */
import { lazy, Suspense, useEffect, useRef, useState, type ReactNode } from 'react';
import { integer } from '../../src/report/words.ts';
import { BusyBar, type Busy } from './busy.tsx';
import { StudioWorker, WorkerFailure } from './client.ts';
import { Decide, formatsIn, type Decided } from './decide.tsx';
import { exampleFiles } from './examples.ts';
import { Open } from './open.tsx';
import { choicesOf, noChoices, runnableAt } from './layer-choices.tsx';
import { LeftRuns } from './left-runs.tsx';
import type { Continuation, FileRef, Given, Judgement, Made, OpenedModel, Request, SeenSample, Tell, Trouble } from './protocol.ts';
import { Outline } from './outline-table.tsx';
import { placeFor, presets, type Preset } from './presets.ts';
import { Result } from './result.tsx';
import type { Run } from './runs.ts';
import { save } from './save.ts';
import { Tensors } from './tensors.tsx';
import { size } from './words.ts';

/** Loaded when it is asked for: it knows every recipe. */
const Catalogue = lazy(async () => ({ default: (await import('./catalogue.tsx')).Catalogue }));

const troubleOf = (error: unknown): Trouble => (error instanceof WorkerFailure ? error.trouble : { message: error instanceof Error ? error.message : String(error) });

export function App(): ReactNode {
  const worker = useRef<StudioWorker>(undefined);
  worker.current ??= new StudioWorker();
  const [page, setPage] = useState(location.hash === '#methods' ? 'methods' : 'studio');
  const [choices, setChoices] = useState(noChoices);
  const [place, setPlace] = useState<Preset>();
  const [decided, setDecided] = useState<Decided>();
  const [report, setReport] = useState<string>();
  const [seen, setSeen] = useState<readonly SeenSample[]>();
  const [model, setModel] = useState<OpenedModel>();
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
  async function working<T>(text: string, cancellable: boolean, work: (tell: Tell) => Promise<T>): Promise<T | undefined> {
    setTrouble(undefined);
    setBusy({ text, cancellable });
    try {
      return await work((now, share, left) => setBusy({ text: now, cancellable, ...(share === undefined ? {} : { share }), ...(left === undefined ? {} : { left }) }));
    } catch (error) {
      const found = troubleOf(error);
      if (found.message !== 'cancelled') setTrouble(found);
      return undefined;
    } finally {
      setBusy(undefined);
    }
  }

  async function open(next: Given): Promise<OpenedModel | undefined> {
    const found = await working('reading', true, () => worker.current!.call('open', next));
    if (found === undefined) return undefined;
    [setMade, setJudgement, setContinuations, setSeen, setReport].forEach((clear) => clear(undefined));
    setChoices(noChoices);
    setDecided(undefined);
    setPlace(presets[found.kind][0]);
    setModel(found);
    return found;
  }

  async function run(request: Request, data: readonly FileRef[], goesOn?: Run): Promise<void> {
    // The files of an earlier run make room for the new ones.
    [setMade, setJudgement, setContinuations, setSeen, setReport].forEach((clear) => clear(undefined));
    setMade(await working('planning', true, (tell) => worker.current!.call('quantize', { request, data, ...(goesOn === undefined ? {} : { goesOn }) }, tell)));
  }

  /** An interrupted run finds its own bytes again: the same model and request lead to the same folder. */
  async function goOnWith(left: Run, files?: readonly FileRef[], data?: readonly FileRef[]): Promise<void> {
    const found = await open(files === undefined ? left.origin as Given : { kind: 'files', files });
    if (found === undefined) return;
    if (found.fingerprint !== left.fingerprint) return setTrouble({ message: `these are not the files that ${left.model} was made from`, wayOut: 'choose the same ones, or drop the interrupted run' });
    const { data: inputs } = left;
    const samples = await working('reading', false, async () => data ?? (inputs?.origin.kind === 'example' ? exampleFiles(inputs.origin.paths) : []));
    if (samples === undefined) return;
    // What was decided then stands in the page again, with its command.
    const { request } = left;
    const then = choicesOf(request);
    setChoices(then);
    setPlace(placeFor(found.kind, request.to, [...formatsIn(request), ...Object.values(then.formats)]));
    setDecided({ request, data: samples });
    await run(request, samples, left);
  }

  async function judge(data: readonly FileRef[], input: string): Promise<void> {
    setReport(undefined);
    setJudgement(await working('judging', true, (tell) => worker.current!.call('judge', { made: made!, data, input }, tell)));
  }

  async function compare(data: readonly FileRef[], input: string): Promise<void> {
    setSeen(await working('running', true, (tell) => worker.current!.call('compare', { made: made!, data, input }, tell)));
  }

  async function goOn(prompt: string): Promise<void> {
    setContinuations(await working('writing', true, (tell) => worker.current!.call('write', { made: made!, prompt, tokens: 80 }, tell)));
  }

  /** Manifests, model cards and the report, saved; or the report alone, shown. */
  async function takeBeside(show: boolean): Promise<void> {
    const files = await working('writing the report', true, (tell) => worker.current!.call('beside', { made: made!, ...(judgement === undefined ? {} : { judgement }) }, tell));
    if (files === undefined) return;
    if (show) setReport(await files.find(({ path }) => path === 'report.html')!.blob.text());
    else files.forEach(save);
  }

  return (
    <>
      <header>
        <a className="name" href="#" aria-current={page === 'studio' ? 'page' : undefined}>fewbit Studio</a>
        <nav><a href="#methods" aria-current={page === 'methods' ? 'page' : undefined}>Methods</a></nav>
        <p>Makes trained networks small, in this page. Nothing is uploaded.</p>
      </header>
      <main>
        {page === 'methods' ? <Suspense fallback={<p>reading the catalogue</p>}><Catalogue worker={worker.current} /></Suspense> : (
          <>
            <Open onGiven={(next) => void open(next)} onTrouble={setTrouble} compact={model !== undefined} />
            <div aria-live="polite">
              {busy !== undefined && <BusyBar busy={busy} worker={worker.current} onCancel={() => worker.current!.cancel()} />}
              {trouble !== undefined && (
                <div className="trouble" role="alert"><strong>{trouble.message}</strong>{trouble.wayOut !== undefined && <span>{trouble.wayOut}</span>}</div>
              )}
            </div>
            <LeftRuns when={busy === undefined} shown={made?.run?.id} disabled={busy !== undefined} onGoOn={(left, files, data) => void goOnWith(left, files, data)} onTrouble={setTrouble} />
            {model !== undefined && place !== undefined && (
              <>
                <section aria-labelledby="model-title">
                  <h2 id="model-title">{model.name}</h2>
                  <p>{model.origin === 'onnx' ? 'ONNX graph' : model.origin === 'gguf' ? 'language model in GGUF' : 'language model in a Hugging Face folder'}, {integer(model.parameters)} weights, {size(model.bytes)}</p>
                  <Outline blocks={model.blocks} />
                  <Tensors model={model} worker={worker.current} place={place} choices={choices} onChoices={setChoices} />
                </section>
                <Decide key={`${model.fingerprint} ${decided === undefined ? '' : 'again'}`} decided={decided} model={model} worker={worker.current} place={place} onPlace={(next) => { setPlace(next); setChoices(runnableAt(choices, next)); }} choices={choices} onChoices={setChoices} disabled={busy !== undefined} onRun={(next, data) => void run(next, data)} />
                {made !== undefined && (
                  <Result
                    model={model} made={made} disabled={busy !== undefined} judgement={judgement} onJudge={(data, input) => void judge(data, input)} seen={seen} onCompare={(data, input) => void compare(data, input)}
                    continuations={continuations} onTry={(prompt) => void goOn(prompt)} report={report} onBeside={(show) => void takeBeside(show)}
                  />
                )}
              </>
            )}
          </>
        )}
      </main>
      <footer>
        Everything happens on this machine, in a worker of this page{crossOriginIsolated ? '' : ', on one thread: the server does not send the two headers that let pages share memory between threads (fewbit studio does)'}. <a href="#methods">Methods and their papers</a>.
      </footer>
    </>
  );
}
