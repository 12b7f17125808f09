/** What a person decides for single layers: what the file's formats or its budget say, floats, or a format of the layer's own. */
import type { ReactNode } from 'react';
import { matches } from '../../src/jobs/keep.ts';
import { formatsOfLayers, type Preset } from './presets.ts';
import type { Request } from './protocol.ts';
import { namesIn } from './words.ts';

export interface LayerChoices {
  /** Names and patterns of layers that stay float, with commas. */
  readonly keep: string;
  /** By name. */
  readonly formats: Readonly<Record<string, string>>;
}

export const noChoices: LayerChoices = { keep: '', formats: {} };

/** Stands for floats among the formats of a layer; the empty text for what all take. */
const float = 'float';

/** The same for some layers, by name. */
export function withChoice({ keep, formats }: LayerChoices, names: readonly string[], choice: string): LayerChoices {
  const those = new Set(names);
  const kept = namesIn(keep).filter((name) => !those.has(name));
  return {
    keep: (choice === float ? [...kept, ...names] : kept).join(','),
    formats: { ...Object.fromEntries(Object.entries(formats).filter(([name]) => !those.has(name))), ...(choice === '' || choice === float ? {} : Object.fromEntries(names.map((name) => [name, choice]))) },
  };
}

/** Without formats that another place cannot run. */
export const runnableAt = ({ keep, formats }: LayerChoices, place: Preset): LayerChoices =>
  ({ keep, formats: Object.fromEntries(Object.entries(formats).filter(([, format]) => formatsOfLayers(place).includes(format))) });

/** As the command takes them: `NAME=FORMAT`, with commas. */
export const rulesOf = ({ formats }: LayerChoices): string => Object.entries(formats).map(([name, format]) => `${name}=${format}`).join(',');

/** What a request says of single layers. */
export const choicesOf = ({ keep, layers = '' }: Request): LayerChoices =>
  ({ keep, formats: Object.fromEntries(namesIn(layers).map((rule) => [rule.slice(0, rule.lastIndexOf('=')), rule.slice(rule.lastIndexOf('=') + 1)])) });

export interface LayerChoiceProps {
  readonly choices: LayerChoices;
  readonly place: Preset;
  readonly name: string;
  readonly onChoice: (choice: string) => void;
}

export function LayerChoice({ choices: { keep, formats }, place, name, onChoice }: LayerChoiceProps): ReactNode {
  const kept = namesIn(keep);
  const pattern = kept.find((one) => one !== name && matches(one, name));
  return (
    <select
      aria-label={`format of ${name}`} disabled={pattern !== undefined} {...(pattern === undefined ? {} : { title: `kept float by ${pattern}` })}
      value={pattern !== undefined || kept.includes(name) ? float : formats[name] ?? ''} onChange={({ target }) => onChoice(target.value)}
    >
      <Choices place={place} />
    </select>
  );
}

/** One choice for many layers. */
export function ManyChoices({ place, count, onChoice }: { readonly place: Preset; readonly count: number; readonly onChoice: (choice: string) => void }): ReactNode {
  return (
    <label>Format of {count === 1 ? 'the layer' : `the ${count} layers`} found{' '}
      <select value="none" disabled={count === 0} onChange={({ target }) => onChoice(target.value)}>
        <option value="none" disabled>choose</option>
        <Choices place={place} />
      </select>
    </label>
  );
}

const Choices = ({ place }: { readonly place: Preset }): ReactNode => (
  <>
    <option value="">as chosen below</option>
    <option value={float}>stays float</option>
    {formatsOfLayers(place).map((format) => <option key={format}>{format}</option>)}
  </>
);
