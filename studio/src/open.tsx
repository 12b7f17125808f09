/** Where models come in: dropped files and folders, chosen ones, ids of the Hugging Face hub, or the examples beside the page. */
import { useRef, useState, type DragEvent, type ReactNode } from 'react';
import type { FileRef, Given, Trouble } from './protocol.ts';

const examples: readonly { readonly name: string; readonly what: string; readonly paths: readonly string[] }[] = [
  { name: 'Keyword spotting', what: 'a small convolutional network', paths: ['kws-dscnn/kws-dscnn.onnx'] },
  { name: 'Llama on Shakespeare', what: 'a language model of 3.6 million weights', paths: ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].map((file) => `host-llama-shakespeare/${file}`) },
];

/** All files of what was dropped, folders with what they hold. */
async function dropped(items: DataTransferItemList): Promise<FileRef[]> {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const files: FileRef[] = [];
  const visit = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.isFile) {
      const file = await new Promise<File>((resolve, reject) => { (entry as FileSystemFileEntry).file(resolve, reject); });
      files.push({ name: entry.fullPath.replace(/^\//, ''), blob: file });
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      // A reader gives a hundred entries at a time.
      const some = await new Promise<FileSystemEntry[]>((resolve, reject) => { reader.readEntries(resolve, reject); });
      if (some.length === 0) return;
      for (const one of some) await visit(one);
    }
  };
  for (const entry of entries) await visit(entry);
  return files;
}

export const chosen = (list: FileList | null): FileRef[] => [...(list ?? [])].map((file) => ({ name: file.webkitRelativePath === '' ? file.name : file.webkitRelativePath, blob: file }));

export function Open({ onGiven, onTrouble, compact }: { readonly onGiven: (given: Given) => void; readonly onTrouble: (trouble: Trouble) => void; readonly compact: boolean }): ReactNode {
  const [over, setOver] = useState(false);
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const [id, setId] = useState('');
  const [hubUrl, setHubUrl] = useState(new URLSearchParams(location.search).get('hub') ?? 'https://huggingface.co');
  const take = (found: Promise<readonly FileRef[]>): void => {
    found.then((all) => onGiven({ kind: 'files', files: all }), (error: unknown) => onTrouble({ message: error instanceof Error ? error.message : String(error), wayOut: 'try again, or choose files of your own' }));
  };
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    take(dropped(event.dataTransfer.items));
  };
  return (
    <section className={`open${over ? ' over' : ''}${compact ? ' compact' : ''}`} aria-label="Open a model"
      onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)} onDrop={drop}>
      <h1>{compact ? 'Open another model' : 'Drop a model here'}</h1>
      {!compact && <p>An <code>.onnx</code> file (with its external data), a <code>.gguf</code> file, or a Hugging Face folder. Large files are read piece by piece.</p>}
      <div className="row">
        <button type="button" className="primary" onClick={() => files.current!.click()}>Choose files</button>
        <button type="button" onClick={() => folder.current!.click()}>Choose a folder</button>
        <input ref={files} type="file" multiple hidden aria-label="model files" onChange={({ target }) => onGiven({ kind: 'files', files: chosen(target.files) })} />
        <input ref={folder} type="file" hidden aria-label="model folder" {...{ webkitdirectory: '' }} onChange={({ target }) => onGiven({ kind: 'files', files: chosen(target.files) })} />
      </div>
      <form className="row" onSubmit={(event) => { event.preventDefault(); onGiven({ kind: 'hub', id, hubUrl }); }}>
        <label>Hugging Face id <input value={id} onChange={({ target }) => setId(target.value)} placeholder="owner/name" size={26} spellCheck={false} autoCapitalize="none" /></label>
        <button type="submit" disabled={id.trim() === ''}>Open</button>
        <details className="inline">
          <summary>another hub</summary>
          <label>Address <input type="url" value={hubUrl} onChange={({ target }) => setHubUrl(target.value)} size={26} /></label>
        </details>
      </form>
      <div className="row examples">
        <span>Or look at an example:</span>
        {examples.map(({ name, what, paths }) => <button key={name} type="button" title={what} onClick={() => onGiven({ kind: 'example', paths })}>{name}</button>)}
      </div>
    </section>
  );
}
