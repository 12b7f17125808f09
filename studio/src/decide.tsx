/** Where the model will run, and which formats it takes; the same request as a command; and the plan before any work. */
import { lazy, Suspense, useState, type ReactNode } from 'react';
import { Budget } from './budget.tsx';
import type { StudioWorker } from './client.ts';
import { rulesOf, withChoice, type LayerChoices } from './layer-choices.tsx';
import { presets, type Preset } from './presets.ts';
import type { FileRef, OpenedModel, Plan, Request } from './protocol.ts';
import { inputNames, SampleInputs } from './sample-inputs.tsx';
import { duration, size } from './words.ts';

/** Knows every recipe: loaded when it is asked for. */
const Recipes = lazy(async () => ({ default: (await import('./recipes.tsx')).Recipes }));

const quoted = (text: string): string => (/^[\w./-]+$/.test(text) ? text : `'${text}'`);

export const commandOf = ({ argument }: OpenedModel, { to, weights, budget, recipe, keep, layers, allowFallback, data, labels, input }: Request): string =>
  [
    `npx fewbit quantize ${argument} --to ${to}`, ...(weights === '' ? [] : [`--weights ${weights}`]), ...(budget === undefined ? [] : [`--bits ${budget}`]), ...(recipe === '' ? [] : [`--recipe ${recipe}`]),
    ...(data === '' ? [] : [`--data ${quoted(data)}`]), ...(labels === '' ? [] : [`--labels ${quoted(labels)}`]), ...(input === '' ? [] : [`--input ${quoted(input)}`]), ...(keep === '' ? [] : [`--keep '${keep}'`]), ...(layers === undefined ? [] : [`--layer '${layers}'`]), ...(allowFallback ? ['--allow-fallback'] : []),
  ].join(' ');

/** Formats of whole files. */
export const formatsIn = ({ weights }: Request): string[] => weights.split(',').filter((one) => one !== '');

/** What an earlier visit asked for. */
export interface Decided { readonly request: Request; readonly data: readonly FileRef[] }

export interface DecideProps {
  readonly model: OpenedModel;
  readonly worker: StudioWorker;
  /** To begin with; what the place suggests without. */
  readonly decided: Decided | undefined;
  /** Where the model will run. */
  readonly place: Preset;
  readonly onPlace: (place: Preset) => void;
  readonly choices: LayerChoices;
  readonly onChoices: (choices: LayerChoices) => void;
  readonly disabled: boolean;
  readonly onRun: (request: Request, data: readonly FileRef[]) => void;
}

export function Decide({ model, worker, decided, place, onPlace, choices, onChoices, disabled, onRun }: DecideProps): ReactNode {
  const places = presets[model.kind];
  const [formats, setFormats] = useState<readonly string[]>(decided === undefined ? [place.formats[0].weights, place.formats[1].weights] : formatsIn(decided.request));
  const [allowFallback, setAllowFallback] = useState(decided?.request.allowFallback ?? false);
  const [budget, setBudget] = useState<number | undefined>(decided?.request.budget);
  const [recipe, setRecipe] = useState(decided?.request.recipe ?? '');
  const [data, setData] = useState<readonly FileRef[]>(decided?.data ?? []);
  const [input, setInput] = useState(decided?.request.input ?? '');
  const [plan, setPlan] = useState<Plan>();
  const [wrong, setWrong] = useState('');
  // Clients of transformers.js look for files by the names of whole formats.
  const budgets = place.to !== 'transformers.js';
  const rules = rulesOf(choices);
  const request: Request = { to: place.to, weights: formats.join(','), ...(budget !== undefined && budgets ? { budget } : {}), recipe, keep: choices.keep.trim(), ...(rules === '' ? {} : { layers: rules }), allowFallback, ...inputNames(data), input: data.length === 0 ? '' : input.trim() };
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
            <input type="radio" name="place" checked={one.id === place.id} onChange={() => { onPlace(one); setBudget(undefined); setPlan(undefined); setFormats([one.formats[0].weights, one.formats[1].weights]); }} />
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
        <label>Layers left float <input value={choices.keep} onChange={({ target }) => onChoices({ ...choices, keep: target.value })} placeholder="none; names, * stands for anything" size={30} /></label>
        <label className="check"><input type="checkbox" checked={allowFallback} onChange={({ target }) => setAllowFallback(target.checked)} /> let layers that cannot take a format take the nearest that fits</label>
      </div>
      {rules !== '' && (
        <div className="row">
          <span>Layers with a format of their own, chosen in the table of tensors: <code>{rules.replaceAll(',', ', ')}</code></span>
          <button type="button" onClick={() => onChoices(withChoice(choices, Object.keys(choices.formats), ''))}>Give them what all take</button>
        </div>
      )}
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
      <details>
        <summary>Formats of all tensors</summary>
        <TensorFormats outputs={plan.outputs} />
      </details>
      <p className="hint">About {duration(plan.seconds.low)} to {duration(plan.seconds.high)} on the command line; a page takes a few times as long.</p>
    </div>
  );
}

/** Every matrix of every file, before any work. */
function TensorFormats({ outputs }: Pick<Plan, 'outputs'>): ReactNode {
  return outputs.map(({ file, tensors }) => (
    <table key={file}>
      <caption>{file}</caption>
      <thead><tr><th scope="col">tensor</th><th scope="col">shape</th><th scope="col">format</th><th scope="col" className="number">size</th><th scope="col">why</th></tr></thead>
      <tbody>
        {tensors.filter(({ shape }) => shape.length > 1).map(({ name, shape, source, target, bytesAfter, asked, fallback }) => (
          <tr key={name}><td>{name}</td><td>{shape.join(' × ')}</td><td>{target === source ? `${target}, stays float` : target === 'measured' ? 'as the budget will choose' : target}</td><td className="number">{size(bytesAfter)}</td><td>{asked === true ? 'as asked' : fallback ?? ''}</td></tr>
        ))}
      </tbody>
    </table>
  ));
}
