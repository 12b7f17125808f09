/** All papers that the project sets out to make runnable: what runs, and how. */
import { useState, type ReactNode } from 'react';
import { papers } from '../../src/recipes/catalogue.ts';
import { measuredResults } from './measured.ts';
import { recipeNames } from './runnable.ts';

/** The paper's claim beside what was measured here; nothing where nothing was. */
function Measured({ name }: { readonly name: string }): ReactNode {
  const result = measuredResults.get(name);
  if (result === undefined) return null;
  const held = result.checks.filter(({ holds }) => holds).length;
  return (
    <details>
      <summary>{held} of {result.checks.length} checks hold in our reproduction</summary>
      <p><strong>The paper:</strong> {result.claim}</p>
      <p><strong>Here:</strong> {result.experiment}</p>
      <div className="scroll" tabIndex={0} role="region" aria-label={`checks of ${name}`}>
        <table>
          <thead><tr><th scope="col">check</th><th scope="col">expected</th><th scope="col">measured</th><th scope="col">holds</th></tr></thead>
          <tbody>
            {result.checks.map((check) => (
              <tr key={check.name}><td>{check.name}{check.finding !== undefined && <p className="hint">{check.finding}</p>}</td><td>{check.expected}</td><td>{check.measured}</td><td>{check.holds ? 'yes' : 'no'}</td></tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="hint">{result.seeds.length} {result.seeds.length === 1 ? 'seed' : 'seeds'}, {Math.round(result.seconds)} s, {result.environment.cpu}; again with <code>npx fewbit reproduce {name}</code></p>
    </details>
  );
}

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
            <Measured name={name} />
          </li>
        ))}
      </ul>
    </section>
  );
}
