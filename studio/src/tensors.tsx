/** Every tensor of the model in a table that can be searched; a layer opens into its values and what formats make of them. */
import { lazy, Suspense, useMemo, useState, type ReactNode } from 'react';
import type { TensorView } from '../../src/jobs/tensor-view.ts';
import type { StudioWorker } from './client.ts';
import { LayerChoice, ManyChoices, withChoice, type LayerChoices } from './layer-choices.tsx';
import { compared, type Preset } from './presets.ts';
import type { HeatMap, OpenedModel } from './protocol.ts';
import { size } from './words.ts';

/** Brings the plots with it. */
const LayerPicture = lazy(async () => ({ default: (await import('./layer-picture.tsx')).LayerPicture }));

const HeatMapPicture = lazy(async () => ({ default: (await import('./heat-map.tsx')).HeatMapPicture }));

/** Rows in the page at once; a search narrows what is beyond. */
const shown = 60;

export interface TensorsProps {
  readonly model: OpenedModel;
  readonly worker: StudioWorker;
  /** Where the model will run. */
  readonly place: Preset;
  readonly choices: LayerChoices;
  readonly onChoices: (choices: LayerChoices) => void;
}

export function Tensors({ model, worker, place, choices, onChoices }: TensorsProps): ReactNode {
  const [search, setSearch] = useState('');
  const [layersOnly, setLayersOnly] = useState(true);
  const [view, setView] = useState<TensorView>();
  const [heat, setHeat] = useState<HeatMap>();
  const [done, setDone] = useState<number>();
  const [wrong, setWrong] = useState('');
  const found = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter((word) => word !== '');
    return model.tensors.filter(({ name, layer }) => (!layersOnly || layer) && words.every((word) => name.toLowerCase().includes(word)));
  }, [model, search, layersOnly]);
  const layers = found.filter(({ layer }) => layer).map(({ name }) => name);
  const look = (name: string): void => {
    setWrong('');
    worker.call('tensor', { name, formats: compared[model.kind] }).then(setView, (error: Error) => setWrong(error.message));
  };
  const compare = (): void => {
    setWrong('');
    setDone(0);
    worker.call('heatMap', { formats: compared[model.kind] }, (_text, share) => setDone(share)).then(setHeat, (error: Error) => setWrong(error.message)).finally(() => setDone(undefined));
  };
  return (
    <details className="tensors" open={view !== undefined || heat !== undefined || undefined}>
      <summary>{model.tensors.length} tensors, {model.tensors.filter(({ layer }) => layer).length} of them layers</summary>
      <div className="row">
        <label>Search <input type="search" value={search} onChange={({ target }) => setSearch(target.value)} placeholder="mlp down" /></label>
        <label className="check"><input type="checkbox" checked={layersOnly} onChange={({ target }) => setLayersOnly(target.checked)} /> only layers</label>
        <span>{found.length > shown ? `the first ${shown} of ${found.length}` : `${found.length} found`}</span>
        <ManyChoices place={place} count={layers.length} onChoice={(choice) => onChoices(withChoice(choices, layers, choice))} />
      </div>
      <div className="scroll" tabIndex={0} role="region" aria-label="tensors">
        <table>
          <thead><tr><th scope="col">tensor</th><th scope="col">shape</th><th scope="col">type</th><th scope="col" className="number">size</th><th scope="col">format</th></tr></thead>
          <tbody>
            {found.slice(0, shown).map(({ name, shape, type, bytes, layer }) => (
              <tr key={name} aria-current={view?.name === name ? 'true' : undefined}>
                <td>{layer ? <button type="button" className="link" onClick={() => look(name)}>{name}</button> : name}</td>
                <td>{shape.join(' × ')}</td><td>{type}</td><td className="number">{size(bytes)}</td>
                <td>{layer && <LayerChoice choices={choices} place={place} name={name} onChoice={(choice) => onChoices(withChoice(choices, [name], choice))} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div className="row">
        <button type="button" disabled={done !== undefined} onClick={compare}>Compare formats on all layers</button>
        {done !== undefined && <progress value={done} aria-label="comparing formats" />}
      </div>
      {wrong !== '' && <p className="trouble" role="alert">{wrong}</p>}
      {view !== undefined && <Suspense><LayerPicture key={view.name} view={view} /></Suspense>}
      {heat !== undefined && <Suspense><HeatMapPicture map={heat} /></Suspense>}
    </details>
  );
}
