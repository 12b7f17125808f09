/** A text that the float model and the files go on with, beside each other. */
import { useState, type ReactNode } from 'react';
import type { Continuation } from './protocol.ts';

/** Where two texts part. */
function common(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at;
}

export function TryText({ disabled, results, onTry }: { readonly disabled: boolean; readonly results: readonly Continuation[] | undefined; readonly onTry: (prompt: string) => void }): ReactNode {
  const [prompt, setPrompt] = useState('ROMEO:');
  const float = results?.[0].text ?? '';
  return (
    <>
      <h3>Read what they write</h3>
      <form className="row" onSubmit={(event) => { event.preventDefault(); onTry(prompt); }}>
        <label>Text to go on with <input value={prompt} onChange={({ target }) => setPrompt(target.value)} size={34} /></label>
        <button type="submit" disabled={disabled || prompt === ''}>Write</button>
      </form>
      {results !== undefined && (
        <div className="texts">
          {results.map(({ model, text, tokensPerSecond, onWebGpu, notRun }, i) => (
            <article key={model}>
              <h4>{model} <span className="hint">{notRun === undefined ? `${tokensPerSecond.toFixed(0)} tokens a second on WASM${typeof onWebGpu === 'number' ? `, ${onWebGpu.toFixed(0)} on WebGPU` : ''}` : ''}</span></h4>
              {notRun !== undefined ? <p>{notRun}</p> : <pre>{text.slice(0, i === 0 ? text.length : common(float, text))}{i > 0 && <mark>{text.slice(common(float, text))}</mark>}</pre>}
            </article>
          ))}
        </div>
      )}
      {[...new Set(results?.flatMap(({ onWebGpu }) => (typeof onWebGpu === 'string' ? [onWebGpu] : [])))].map((why) => <p key={why} className="hint">Nothing was written on WebGPU: {why}.</p>)}
    </>
  );
}
