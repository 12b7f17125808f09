/** What was made: files to take, what they lost by the judgement of this page's engine, and answers to the user's own inputs. */
import { lazy, Suspense, useState, type ReactNode } from 'react';
import { exampleFiles } from './examples.ts';
import type { Continuation, FileRef, JudgedFile, Judgement, Made, OpenedModel, SeenSample } from './protocol.ts';
import { exampleData, inputsHint, SampleInputs } from './sample-inputs.tsx';
import { save } from './save.ts';
import { SeenSamples } from './seen.tsx';
import { TryText } from './try-text.tsx';
import { shippedBytes, size } from './words.ts';

const JudgePictures = lazy(async () => ({ default: (await import('./judge-pictures.tsx')).JudgePictures }));

export interface ResultProps {
  readonly model: OpenedModel; readonly made: Made; readonly disabled: boolean;
  readonly judgement: Judgement | undefined; readonly onJudge: (data: readonly FileRef[], input: string) => void;
  readonly seen: readonly SeenSample[] | undefined; readonly onCompare: (data: readonly FileRef[], input: string) => void;
  readonly continuations: readonly Continuation[] | undefined; readonly onTry: (prompt: string) => void;
  readonly report: string | undefined; readonly onBeside: (show: boolean) => void;
}

export function Result({ model, made, judgement, disabled, onJudge, seen, onCompare, continuations, onTry, report, onBeside }: ResultProps): ReactNode {
  const { request } = made;
  const [data, setData] = useState<readonly FileRef[]>([]);
  const [input, setInput] = useState(request.input);
  const example = exampleData[model.name];
  const judged = new Map(judgement?.files.map((file) => [file.path, file]));
  const names = [...new Set(judgement?.files.flatMap(({ figures }) => figures.map(({ name }) => name)))];
  const backends = (['WASM', 'WebGPU'] as const).filter((backend) => judgement?.files.some(({ speeds }) => speeds.some((one) => one.backend === backend && one.ratio !== undefined)));
  const silent = judgement?.files.flatMap(({ speeds }) => speeds.flatMap(({ backend, why }) => (why === undefined ? [] : [{ backend, why }]))) ?? [];
  const untimed = [...new Set(silent.map(({ why }) => why))].map((reason) => [reason, [...new Set(silent.filter(({ why }) => why === reason).map(({ backend }) => backend))]] as const);
  const main = made.outputs.map(({ file }) => file);
  return (
    <section aria-labelledby="result-title">
      <h2 id="result-title">Take</h2>
      <p>
        {made.outputs.length} {made.outputs.length === 1 ? 'file' : 'files'} in {made.seconds.toFixed(1)} s{made.resumed ? ', going on from an earlier run' : ''}; {request.data !== '' ? 'calibrated in this page’s engine.' : request.to === 'transformers.js' ? 'the folder also holds what transformers.js reads beside them.' : 'the bytes are those of the command above.'}
      </p>
      <div className="scroll" tabIndex={0} role="region" aria-label="results">
        <table>
          <thead>
            <tr>
              <th scope="col">file</th><th scope="col"><span className="hidden">save</span></th><th scope="col" className="number">size</th><th scope="col" className="number">smaller</th><th scope="col" className="number">bits per weight</th>
              {names.map((name) => <th key={name} scope="col" className="number">{name}</th>)}
              {backends.map((backend) => <th key={backend} scope="col" className="number">time on {backend}</th>)}
            </tr>
          </thead>
          <tbody>
            {made.outputs.map(({ file, bitsPerWeight }) => {
              const blob = made.files.find(({ path }) => path === file)!;
              const bytes = shippedBytes(made, file);
              const found = judged.get(file);
              return (
                <tr key={file}>
                  <td>{file}</td><td><button type="button" onClick={() => save(blob)}>Save</button></td><td className="number">{size(bytes)}</td><td className="number">{(model.bytes / bytes).toFixed(1)}×</td><td className="number">{bitsPerWeight.toFixed(2)}</td>
                  {names.map((name) => <td key={name} className="number" title={found?.figures.find((one) => one.name === name)?.meaning}>{found?.figures.find((one) => one.name === name)?.value ?? ''}</td>)}
                  {backends.map((backend) => <Time key={backend} file={found} backend={backend} />)}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <p className="row">
        {made.files.filter(({ path }) => !main.includes(path)).map((file) => <button key={file.path} type="button" onClick={() => save(file)}>{file.path}</button>)}
        <button type="button" disabled={disabled} onClick={() => onBeside(false)}>Save the report and manifests</button>
        <button type="button" disabled={disabled} onClick={() => onBeside(true)}>Show the report</button>
      </p>
      {report !== undefined && <iframe className="report" title="report" sandbox="" srcDoc={report} />}
      {made.notes.length > 0 && <details><summary>{made.notes.length} notes</summary><ul>{made.notes.map((note) => <li key={note}>{note}</li>)}</ul></details>}
      <h3>What did it cost?</h3>
      {judgement !== undefined && <p>Judged on {judgement.data.name}: the files ran in this page beside the float model.{backends.length > 0 && ' Times are of one run, as shares of the float model’s on the same backend.'}</p>}
      {untimed.map(([why, places]) => <p key={why} className="hint">No time on {places.join(' and ')}: {why}.</p>)}
      {judgement?.files.filter(({ notJudged }) => notJudged !== undefined).map(({ path, notJudged }) => <p key={path} className="trouble">{path}: {notJudged}</p>)}
      {judgement !== undefined && <Suspense fallback={<p>drawing</p>}><JudgePictures model={model} made={made} judgement={judgement} /></Suspense>}
      <div className="row">
        {example !== undefined && <button type="button" className="primary" disabled={disabled} onClick={() => void exampleFiles(example).then((files) => onJudge(files, input))}>Judge on the example’s inputs</button>}
        <button type="button" disabled={disabled || data.length === 0} onClick={() => onJudge(data, input)}>Judge on my inputs</button>
        <button type="button" disabled={disabled} onClick={() => onJudge([], '')}>Judge on made-up inputs</button>
        {model.kind === 'onnx' && <button type="button" disabled={disabled || data.length === 0} onClick={() => onCompare(data, input)}>See answers to my inputs</button>}
      </div>
      <SampleInputs model={model} files={data} input={input} onFiles={setData} onInput={setInput} label="My inputs" />
      <p className="hint">{inputsHint(model)}</p>
      {seen !== undefined && <SeenSamples samples={seen} />}
      {model.kind === 'lm' && <TryText disabled={disabled} results={continuations} onTry={onTry} />}
    </section>
  );
}

function Time({ file, backend }: { readonly file: JudgedFile | undefined; readonly backend: 'WASM' | 'WebGPU' }): ReactNode {
  const found = file?.speeds.find((one) => one.backend === backend);
  if (found?.ratio === undefined) return <td className="number">none</td>;
  return <td className="number" title={`${found.median!.toFixed(1)} ms`}>{found.ratio.toFixed(2)}×</td>;
}
