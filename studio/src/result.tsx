/** What was made: files to take, what they lost by the judgement of this page's engine, and the size against it. */
import { useRef, type ReactNode } from 'react';
import { chosen, exampleFiles } from './open.tsx';
import type { Continuation, FileRef, Judgement, Made, MadeFile, OpenedModel, Request } from './protocol.ts';
import { TryText } from './try-text.tsx';
import { size } from './words.ts';

/** Inputs that go with the examples. */
const exampleData: Readonly<Record<string, readonly string[]>> = {
  'kws-dscnn': ['kws-dscnn/inputs.npy', 'kws-dscnn/labels.npy'], 'host-llama-shakespeare': ['shakespeare/heldout.txt'],
};

function save({ path, blob }: MadeFile): void {
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement('a'), { href: url, download: path.slice(path.lastIndexOf('/') + 1) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function Result({ model, made, request, judgement, disabled, onJudge, continuations, onTry }: {
  readonly model: OpenedModel; readonly made: Made; readonly request: Request; readonly judgement: Judgement | undefined; readonly disabled: boolean; readonly onJudge: (data: readonly FileRef[]) => void;
  readonly continuations: readonly Continuation[] | undefined; readonly onTry: (prompt: string) => void;
}): ReactNode {
  const data = useRef<HTMLInputElement>(null);
  const example = exampleData[model.name];
  const judged = new Map(judgement?.files.map((file) => [file.path, file]));
  const names = [...new Set(judgement?.files.flatMap(({ figures }) => figures.map(({ name }) => name)))];
  const main = made.outputs.map(({ file }) => file);
  return (
    <section aria-labelledby="result-title">
      <h2 id="result-title">Take</h2>
      <p>{made.outputs.length} {made.outputs.length === 1 ? 'file' : 'files'} in {made.seconds.toFixed(1)} s; {request.to === 'transformers.js' ? 'the folder also holds what transformers.js reads beside them.' : 'the bytes are those of the command above.'}</p>
      <div className="scroll" tabIndex={0} role="region" aria-label="results">
        <table>
          <thead>
            <tr>
              <th scope="col">file</th><th scope="col" className="number">size</th><th scope="col" className="number">smaller</th><th scope="col" className="number">bits per weight</th>
              {names.map((name) => <th key={name} scope="col" className="number">{name}</th>)}
              {judgement !== undefined && <th scope="col" className="number">time</th>}
              <th scope="col"><span className="hidden">save</span></th>
            </tr>
          </thead>
          <tbody>
            {made.outputs.map(({ file, bitsPerWeight }) => {
              const blob = made.files.find(({ path }) => path === file)!;
              const found = judged.get(file);
              return (
                <tr key={file}>
                  <td>{file}</td><td className="number">{size(blob.blob.size)}</td><td className="number">{(model.bytes / blob.blob.size).toFixed(1)}×</td><td className="number">{bitsPerWeight.toFixed(2)}</td>
                  {names.map((name) => <td key={name} className="number" title={found?.figures.find((one) => one.name === name)?.meaning}>{found?.figures.find((one) => one.name === name)?.value ?? found?.notJudged ?? ''}</td>)}
                  {judgement !== undefined && <td className="number" title="of the float model's, in this page">{found?.speed === undefined ? '' : `${found.speed.toFixed(2)}×`}</td>}
                  <td><button type="button" onClick={() => save(blob)}>Save</button></td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {made.files.length > main.length && (
        <p className="row">{made.files.filter(({ path }) => !main.includes(path)).map((file) => <button key={file.path} type="button" onClick={() => save(file)}>{file.path}</button>)}</p>
      )}
      {made.notes.length > 0 && <details><summary>{made.notes.length} notes</summary><ul>{made.notes.map((note) => <li key={note}>{note}</li>)}</ul></details>}
      <h3>What did it cost?</h3>
      {judgement !== undefined && <p>Judged on {judgement.data}: the files ran in this page beside the float model.</p>}
      <div className="row">
        {example !== undefined && <button type="button" className="primary" disabled={disabled} onClick={() => void exampleFiles(example).then(onJudge)}>Judge on the example’s inputs</button>}
        <button type="button" disabled={disabled} onClick={() => data.current!.click()}>Judge on my inputs</button>
        <button type="button" disabled={disabled} onClick={() => onJudge([])}>Judge on made-up inputs</button>
        <input ref={data} type="file" multiple hidden aria-label="inputs" onChange={({ target }) => { if (target.files!.length > 0) onJudge(chosen(target.files)); }} />
      </div>
      <p className="hint">{model.kind === 'lm' ? 'A text file.' : `An array (.npy, .npz, .safetensors, .jsonl) for ${model.inputs.join(', ')}; class labels as a second .npy with “label” in its name.`}</p>
      {model.kind === 'lm' && <TryText disabled={disabled} results={continuations} onTry={onTry} />}
    </section>
  );
}
