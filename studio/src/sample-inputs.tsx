/** Inputs that a person brings: files or a folder of images, and how images become inputs. */
import { useRef, useState, type ReactNode } from 'react';
import { exampleFiles } from './examples.ts';
import { chosen } from './open.tsx';
import type { FileRef, OpenedModel } from './protocol.ts';
import { isImage, labelsIn } from './sample-files.ts';

/** Inputs that go with the examples. */
export const exampleData: Readonly<Record<string, readonly string[]>> = {
  'kws-dscnn': ['kws-dscnn/inputs.npy', 'kws-dscnn/labels.npy'], 'host-llama-shakespeare': ['shakespeare/heldout.txt'],
};

export const inputsHint = ({ kind, inputs }: OpenedModel): string =>
  (kind === 'lm' ? 'A text file.' : `Images, or an array (.npy, .npz, .safetensors, .jsonl) for ${inputs.join(', ')}; class labels as a second .npy with “label” in its name, or a folder of images for each class.`);

const base = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** What a command would call them: a folder of images by its name, a file of arrays or text by its own, with its labels. */
export function inputNames(files: readonly FileRef[]): { readonly data: string; readonly labels: string } {
  const labels = labelsIn(files);
  const [first] = files.filter((file) => file !== labels);
  if (first === undefined) return { data: '', labels: '' };
  const folder = first.name.includes('/') && /\.(png|jpe?g|csv)$/i.test(first.name);
  return { data: folder ? first.name.slice(0, first.name.indexOf('/')) : base(first.name), labels: labels === undefined ? '' : base(labels.name) };
}

export interface SampleInputsProps {
  readonly model: OpenedModel;
  readonly files: readonly FileRef[];
  readonly input: string;
  readonly onFiles: (files: readonly FileRef[]) => void;
  readonly onInput: (input: string) => void;
  /** What they are for. */
  readonly label: string;
}

export function SampleInputs({ model, files, input, onFiles, onInput, label }: SampleInputsProps): ReactNode {
  const pick = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const example = exampleData[model.name];
  const [fetching, setFetching] = useState(false);
  const [wrong, setWrong] = useState('');
  const takeExample = (): void => {
    setWrong('');
    setFetching(true);
    exampleFiles(example).then(onFiles, (error: Error) => setWrong(error.message)).finally(() => setFetching(false));
  };
  const take = ({ files: list }: HTMLInputElement): void => { if (list!.length > 0) onFiles(chosen(list)); };
  return (
    <div className="row" role="group" aria-label={label}>
      <span>{label}: <strong>{files.length === 0 ? 'none' : files.length === 1 ? files[0].name : `${files.length} files`}</strong></span>
      {example !== undefined && <button type="button" disabled={fetching} onClick={takeExample}>Those of the example</button>}
      <button type="button" title={inputsHint(model)} onClick={() => pick.current!.click()}>Choose</button>
      {model.kind !== 'lm' && <button type="button" onClick={() => folder.current!.click()}>Choose a folder</button>}
      {files.length > 0 && <button type="button" onClick={() => onFiles([])}>None</button>}
      {files.some(({ name }) => isImage(name)) && (
        <label title="as in --input: colours, size, divisor, mean, deviation, layout">Images become <input value={input} onChange={({ target }) => onInput(target.value)} size={30} placeholder="rgb 224 crop, /255, nchw" /></label>
      )}
      {wrong !== '' && <span className="trouble" role="alert">{wrong}</span>}
      <input ref={pick} type="file" multiple hidden aria-label={label} onChange={({ target }) => take(target)} />
      <input ref={folder} type="file" hidden aria-label={`folder: ${label}`} {...{ webkitdirectory: '' }} onChange={({ target }) => take(target)} />
    </div>
  );
}
