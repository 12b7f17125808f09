/** All papers that the project sets out to make runnable: what runs, and how. */
import { useState, type ReactNode } from 'react';
import { papers } from '../../src/recipes/catalogue.ts';
import type { StudioWorker } from './client.ts';
import { heldShare, measuredResults } from './measured.ts';
import { Measured, RunHere } from './reproduction.tsx';
import { recipeNames } from './runnable.ts';

type Order = 'date' | 'held' | 'name';

/** What held most comes first, of equal shares what was checked most; what was not measured comes last. */
const byHeld = (a: string, b: string): number => (heldShare(b) ?? -1) - (heldShare(a) ?? -1) || (measuredResults.get(b)?.checks.length ?? 0) - (measuredResults.get(a)?.checks.length ?? 0);

export function Catalogue({ worker }: { readonly worker: StudioWorker }): ReactNode {
  const [search, setSearch] = useState('');
  const [order, setOrder] = useState<Order>('date');
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== '');
  const found = papers
    .filter(({ name, title, summary, area }) => words.every((word) => `${name} ${title} ${summary} ${area}`.toLowerCase().includes(word)))
    .toSorted((a, b) => (order === 'name' ? a.name.localeCompare(b.name) : order === 'held' ? byHeld(a.name, b.name) : (b.published ?? '').localeCompare(a.published ?? '')));
  return (
    <section aria-labelledby="methods-title">
      <h1 id="methods-title">Methods</h1>
      <p>{papers.length} papers; {papers.filter(({ name }) => recipeNames.has(name)).length} of them run today. A line that names no command is not built yet. New entries come as an <a href="feed.xml">Atom feed</a>.</p>
      <div className="row">
        <label>Search <input type="search" value={search} onChange={({ target }) => setSearch(target.value)} placeholder="diffusion 4 bit" /></label>
        <label>Order <select value={order} onChange={({ target }) => setOrder(target.value as Order)}><option value="date">newest first</option><option value="held">what held most in our reproductions</option><option value="name">by name</option></select></label>
        <span>{found.length} found</span>
      </div>
      <ul className="papers">
        {found.map(({ name, area, arxiv, published, title, summary }) => (
          <li key={name}>
            <h2>{title}</h2>
            <p>{summary}</p>
            <p className="hint">
              {area}{published === null ? '' : `, ${published}`}{arxiv === null ? '' : <>, <a href={`https://arxiv.org/abs/${arxiv}`}>arXiv:{arxiv}</a></>}
            </p>
            {recipeNames.has(name) && <code className="command">{recipeNames.get(name)}</code>}
            <Measured name={name} />
            <RunHere name={name} worker={worker} />
          </li>
        ))}
      </ul>
    </section>
  );
}
