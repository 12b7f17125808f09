/** All papers that the project sets out to make runnable: what runs, and how. */
import { useState, type ReactNode } from 'react';
import { papers } from '../../src/recipes/catalogue.ts';
import { recipeNames } from './runnable.ts';

export function Catalogue(): ReactNode {
  const [search, setSearch] = useState('');
  const [order, setOrder] = useState<'date' | 'name'>('date');
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== '');
  const found = papers
    .filter(({ name, title, summary, area }) => words.every((word) => `${name} ${title} ${summary} ${area}`.toLowerCase().includes(word)))
    .toSorted((a, b) => (order === 'name' ? a.name.localeCompare(b.name) : (b.published ?? '').localeCompare(a.published ?? '')));
  return (
    <section aria-labelledby="methods-title">
      <h1 id="methods-title">Methods</h1>
      <p>{papers.length} papers; {papers.filter(({ name }) => recipeNames.has(name)).length} of them run today. A line that names no command is not built yet.</p>
      <div className="row">
        <label>Search <input type="search" value={search} onChange={({ target }) => setSearch(target.value)} placeholder="diffusion 4 bit" /></label>
        <label>Order <select value={order} onChange={({ target }) => setOrder(target.value as 'date')}><option value="date">newest first</option><option value="name">by name</option></select></label>
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
          </li>
        ))}
      </ul>
    </section>
  );
}
