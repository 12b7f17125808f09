/** Where the model will run, and which formats it takes; the same request as a command. */
import { useState, type ReactNode } from 'react';
import { presets } from './presets.ts';
import type { OpenedModel, Request } from './protocol.ts';
import { size } from './words.ts';

export const commandOf = (model: OpenedModel, { to, weights, budget, keep, allowFallback }: Request): string =>
  `npx fewbit quantize ${model.name}${model.origin === 'onnx' ? '.onnx' : model.origin === 'gguf' ? '.gguf' : ''} --to ${to}${weights === '' ? '' : ` --weights ${weights}`}${budget === undefined ? '' : ` --bits ${budget}`}${keep === '' ? '' : ` --keep '${keep}'`}${allowFallback ? ' --allow-fallback' : ''}`;

export function Decide({ model, disabled, onRun }: { readonly model: OpenedModel; readonly disabled: boolean; readonly onRun: (request: Request) => void }): ReactNode {
  const places = presets[model.kind];
  const [place, setPlace] = useState(places[0]);
  const [formats, setFormats] = useState<readonly string[]>([place.formats[0].weights, place.formats[1].weights]);
  const [keep, setKeep] = useState('');
  const [allowFallback, setAllowFallback] = useState(false);
  const [mixed, setMixed] = useState(false);
  const [budget, setBudget] = useState(4.25);
  // Clients of transformers.js look for files by the names of whole formats.
  const budgets = place.to !== 'transformers.js';
  const request: Request = { to: place.to, weights: formats.join(','), ...(mixed && budgets ? { budget } : {}), keep: keep.trim(), allowFallback };
  const command = commandOf(model, request);
  return (
    <section aria-labelledby="decide-title">
      <h2 id="decide-title">Decide</h2>
      <fieldset>
        <legend>Where will it run?</legend>
        {places.map((one) => (
          <label key={one.id} className="choice">
            <input type="radio" name="place" checked={one.id === place.id} onChange={() => { setPlace(one); setFormats([one.formats[0].weights, one.formats[1].weights]); }} />
            <span><strong>{one.name}</strong><br />{one.note}</span>
          </label>
        ))}
      </fieldset>
      <fieldset>
        <legend>Formats, one file each</legend>
        {place.formats.map(({ weights, note }) => (
          <label key={weights} className="check">
            <input type="checkbox" checked={formats.includes(weights)} onChange={({ target }) => setFormats(target.checked ? [...formats, weights] : formats.filter((one) => one !== weights))} />
            <code>{weights}</code> {note}
          </label>
        ))}
      </fieldset>
      {budgets && (
        <fieldset>
          {/* Whole numbers of bits are formats of their own: the steps lie between them. */}
          <legend>Or a budget: each layer gets the format that serves it best within it</legend>
          <label className="check"><input type="checkbox" checked={mixed} onChange={({ target }) => setMixed(target.checked)} /> a mixed file of</label>
          <label className="budget">
            <span>{budget.toFixed(2)} bits per weight, about {size((model.parameters * budget) / 8)}</span>
            <input type="range" min={2.25} max={7.75} step={0.5} value={budget} aria-label="bits per weight" onChange={({ target }) => { setBudget(Number(target.value)); setMixed(true); }} />
          </label>
        </fieldset>
      )}
      <div className="row">
        <label>Layers left float <input value={keep} onChange={({ target }) => setKeep(target.value)} placeholder="none; names, * stands for anything" size={30} /></label>
        <label className="check"><input type="checkbox" checked={allowFallback} onChange={({ target }) => setAllowFallback(target.checked)} /> let layers that cannot take a format take the nearest that fits</label>
      </div>
      <div className="row">
        <button type="button" className="primary" disabled={disabled || (formats.length === 0 && request.budget === undefined)} onClick={() => onRun(request)}>Quantize</button>
        <code className="command">{command}</code>
        <button type="button" onClick={() => void navigator.clipboard.writeText(command)}>Copy the command</button>
      </div>
    </section>
  );
}
