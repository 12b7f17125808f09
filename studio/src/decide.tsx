/** Where the model will run, and which formats it takes; the same request as a command; and the plan before any work. */
import { lazy, Suspense, useState, type ReactNode } from 'react';
import { Budget } from './budget.tsx';
import type { StudioWorker } from './client.ts';
import { presets } from './presets.ts';
import type { FileRef, OpenedModel, Plan, Request } from './protocol.ts';
import { inputNames, SampleInputs } from './sample-inputs.tsx';
import { duration, size } from './words.ts';

/** Knows every recipe: loaded when it is asked for. */
const Recipes = lazy(async () => ({ default: (await import('./recipes.tsx')).Recipes }));

const quoted = (text: string): string => (/^[\w./-]+$/.test(text) ? text : `'${text}'`);

export const commandOf = ({ argument }: OpenedModel, { to, weights, budget, recipe, keep, allowFallback, data, labels, input }: Request): string =>
  [
    `npx fewbit quantize ${argument} --to ${to}`, ...(weights === '' ? [] : [`--weights ${weights}`]), ...(budget === undefined ? [] : [`--bits ${budget}`]), ...(recipe === '' ? [] : [`--recipe ${recipe}`]),
    ...(data === '' ? [] : [`--data ${quoted(data)}`]), ...(labels === '' ? [] : [`--labels ${quoted(labels)}`]), ...(input === '' ? [] : [`--input ${quoted(input)}`]), ...(keep === '' ? [] : [`--keep '${keep}'`]), ...(allowFallback ? ['--allow-fallback'] : []),
  ].join(' ');

export interface DecideProps {
  readonly model: OpenedModel;
  readonly worker: StudioWorker;
  readonly keep: string;
  readonly onKeep: (keep: string) => void;
  readonly disabled: boolean;
  readonly onRun: (request: Request, data: readonly FileRef[]) => void;
}

export function Decide({ model, worker, keep, onKeep, disabled, onRun }: DecideProps): ReactNode {
  const places = presets[model.kind];
  const [place, setPlace] = useState(places[0]);
  const [formats, setFormats] = useState<readonly string[]>([place.formats[0].weights, place.formats[1].weights]);
  const [allowFallback, setAllowFallback] = useState(false);
  const [budget, setBudget] = useState<number>();
  const [recipe, setRecipe] = useState('');
  const [data, setData] = useState<readonly FileRef[]>([]);
  const [input, setInput] = useState('');
  const [plan, setPlan] = useState<Plan>();
  const [wrong, setWrong] = useState('');
  // Clients of transformers.js look for files by the names of whole formats.
  const budgets = place.to !== 'transformers.js';
  const request: Request = { to: place.to, weights: formats.join(','), ...(budget !== undefined && budgets ? { budget } : {}), recipe, keep: keep.trim(), allowFallback, ...inputNames(data), input: data.length === 0 ? '' : input.trim() };
  const command = commandOf(model, request);
  const nothing = formats.length === 0 && request.budget === undefined;
  const showPlan = (): void => {
    setWrong('');
    worker.call('plan', { request }).then(setPlan, (error: Error) => { setPlan(undefined); setWrong(error.message); });
  };
  return (
    <section aria-labelledby="decide-title">
      <h2 id="decide-title">Decide</h2>
      <fieldset className="places">
        <legend>Where will it run?</legend>
        {places.map((one) => (
          <label key={one.id} className="choice">
            <input type="radio" name="place" checked={one.id === place.id} onChange={() => { setPlace(one); setBudget(undefined); setPlan(undefined); setFormats([one.formats[0].weights, one.formats[1].weights]); }} />
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
      {budgets && <Budget key={[place.id, recipe, request.data].join(' ')} model={model} worker={worker} request={request} data={data} budget={budget} onBudget={setBudget} />}
      <details className="recipes">
        <summary>Recipe: {recipe === '' ? 'the best of what the data allow' : recipe}{data.length === 0 ? ', without sample inputs' : `, calibrated on ${request.data}`}</summary>
        <SampleInputs model={model} files={data} input={input} onFiles={setData} onInput={setInput} label="Sample inputs that calibrate" />
        <Suspense fallback={<p>reading the recipes</p>}><Recipes model={model} to={place.to} hasData={data.length > 0} recipe={recipe} onRecipe={setRecipe} /></Suspense>
      </details>
      <div className="row">
        <label>Layers left float <input value={keep} onChange={({ target }) => onKeep(target.value)} placeholder="none; names, * stands for anything" size={30} /></label>
        <label className="check"><input type="checkbox" checked={allowFallback} onChange={({ target }) => setAllowFallback(target.checked)} /> let layers that cannot take a format take the nearest that fits</label>
      </div>
      <div className="row">
        <button type="button" className="primary" disabled={disabled || nothing} onClick={() => onRun(request, data)}>Quantize</button>
        <button type="button" disabled={disabled || nothing} onClick={showPlan}>Show the plan</button>
        <code className="command">{command}</code>
        <button type="button" onClick={() => void navigator.clipboard.writeText(command)}>Copy the command</button>
      </div>
      {wrong !== '' && <p className="trouble" role="alert">{wrong}</p>}
      {plan !== undefined && <PlanTable plan={plan} model={model} />}
    </section>
  );
}

function PlanTable({ plan, model }: { readonly plan: Plan; readonly model: OpenedModel }): ReactNode {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="plan">
      <table>
        <thead><tr><th scope="col">file</th><th scope="col" className="number">size</th><th scope="col" className="number">bits per weight</th><th scope="col">recipe</th><th scope="col" className="number">float layers</th><th scope="col">cannot take it</th></tr></thead>
        <tbody>
          {plan.outputs.map(({ file, bytes, bitsPerWeight, recipe, tensors, refusals }) => (
            <tr key={file}>
              <td>{file}</td><td className="number">{size(bytes)} of {size(model.bytes)}</td><td className="number">{bitsPerWeight.toFixed(2)}</td><td>{recipe}</td>
              <td className="number">{tensors.filter(({ source, target }) => source === target).length} of {tensors.length}</td><td>{refusals.length === 0 ? 'none' : `${refusals.length}: ${refusals[0]}`}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="hint">About {duration(plan.seconds.low)} to {duration(plan.seconds.high)} on the command line; a page takes a few times as long.</p>
    </div>
  );
}
