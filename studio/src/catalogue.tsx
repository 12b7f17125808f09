/** All papers that the project sets out to make runnable: what each claims, what runs, what was measured, and why the rest was not. */
import { lazy, Suspense, useState, type ReactNode } from 'react';
import { papers, publishedOf, type Paper } from '../../src/recipes/catalogue.ts';
import { effectText } from '../../src/recipes/catalogue-effects.ts';
import { unmeasured } from '../../src/recipes/catalogue-unmeasured.ts';
import type { StudioWorker } from './client.ts';
import { heldShare, measuredEffect, measuredResults } from './measured.ts';
import { Measured, RunHere } from './reproduction.tsx';
import { recipeNames } from './runnable.ts';
import { isRunHere } from './runs-here.ts';

const EffectsPicture = lazy(async () => ({ default: (await import('./effects-picture.tsx')).EffectsPicture }));

const claimOf = (name: string): string => measuredResults.get(name)?.claim ?? unmeasured[name]?.claim ?? '';

/** Larger first; what has none comes last. */
const byFigure = (of: (name: string) => number | undefined) => (a: Paper, b: Paper): number => (of(b.name) ?? -Infinity) - (of(a.name) ?? -Infinity) || 0;
/** Of equal shares what was checked most comes first. */
const checks = (name: string): number => measuredResults.get(name)?.checks.length ?? 0;

const orders = {
  date: { label: 'newest first', compare: (a: Paper, b: Paper) => publishedOf(b).localeCompare(publishedOf(a)) },
  effect: { label: 'measured effect', compare: (a: Paper, b: Paper) => byFigure((name) => measuredEffect(name)?.share)(a, b) || checks(b.name) - checks(a.name) },
  held: { label: 'what held most in our reproductions', compare: (a: Paper, b: Paper) => byFigure(heldShare)(a, b) || checks(b.name) - checks(a.name) },
  name: { label: 'by name', compare: (a: Paper, b: Paper) => a.name.localeCompare(b.name) },
} as const;

const kinds = {
  all: { label: 'all', shows: () => true },
  measured: { label: 'measured here', shows: (name: string) => measuredResults.has(name) },
  page: { label: 'experiments that run in this page', shows: isRunHere },
  rest: { label: 'not measured, with the reason', shows: (name: string) => !measuredResults.has(name) },
} as const;

export function Catalogue({ worker }: { readonly worker: StudioWorker }): ReactNode {
  const [search, setSearch] = useState('');
  const [order, setOrder] = useState<keyof typeof orders>('date');
  const [kind, setKind] = useState<keyof typeof kinds>('all');
  const [pictured, setPictured] = useState(false);
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== '');
  const textOf = ({ name, title, summary, area }: Paper): string => `${name} ${title} ${summary} ${area} ${claimOf(name)} ${unmeasured[name]?.reason ?? ''}`.toLowerCase();
  const found = papers
    .filter((paper) => kinds[kind].shows(paper.name) && words.every((word) => textOf(paper).includes(word)))
    .toSorted((a, b) => orders[order].compare(a, b) || publishedOf(b).localeCompare(publishedOf(a)));
  return (
    <section aria-labelledby="methods-title">
      <h1 id="methods-title">Methods</h1>
      <p>{papers.length} papers: {papers.filter(({ name }) => recipeNames.has(name)).length} run on your models, {papers.filter(({ name }) => measuredResults.has(name)).length} were measured here, {papers.filter(({ name }) => isRunHere(name)).length} of these can be run in this page; the others say why not. New entries come as an <a href="feed.xml">Atom feed</a>.</p>
      <div className="row">
        <label>Search <input type="search" value={search} onChange={({ target }) => setSearch(target.value)} placeholder="diffusion 4 bit" /></label>
        <label>Show <select value={kind} onChange={({ target }) => setKind(target.value as keyof typeof kinds)}>{Object.entries(kinds).map(([value, { label }]) => <option key={value} value={value}>{label}</option>)}</select></label>
        <label>Order <select value={order} onChange={({ target }) => setOrder(target.value as keyof typeof orders)}>{Object.entries(orders).map(([value, { label }]) => <option key={value} value={value}>{label}</option>)}</select></label>
        <span aria-live="polite">{found.length} found</span>
      </div>
      <details onToggle={({ currentTarget }) => setPictured(currentTarget.open)}>
        <summary>Measured effects of those found, in one picture</summary>
        {pictured && <Suspense><EffectsPicture names={found.map(({ name }) => name)} /></Suspense>}
      </details>
      <ul className="papers">{found.map((paper) => <Entry key={paper.name} paper={paper} worker={worker} />)}</ul>
    </section>
  );
}

function Entry({ paper: { name, area, arxiv, title, summary, ...dated }, worker }: { readonly paper: Paper; readonly worker: StudioWorker }): ReactNode {
  const effect = measuredEffect(name);
  const published = publishedOf({ arxiv, ...dated });
  return (
    <li>
      <h2>{title}</h2>
      <p>{summary}</p>
      <p className="hint">
        {area}{published === '' ? '' : `, ${published}`}{arxiv === null ? '' : <>, <a href={`https://arxiv.org/abs/${arxiv}`}>arXiv:{arxiv}</a></>}
      </p>
      <dl className="claim">
        <dt>The paper claims</dt><dd>{claimOf(name)}</dd>
        {effect !== undefined && <><dt>Measured here</dt><dd>{effectText(effect)}</dd></>}
        {unmeasured[name] !== undefined && !measuredResults.has(name) && <><dt>Not measured here</dt><dd>{unmeasured[name].reason}</dd></>}
      </dl>
      {recipeNames.has(name) && <code className="command">{recipeNames.get(name)}</code>}
      <Measured name={name} />
      <RunHere name={name} worker={worker} />
    </li>
  );
}
