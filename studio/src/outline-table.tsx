/** The model from its input to its output: what each block computes, and its share of the weights. */
import type { ReactNode } from 'react';
import { integer } from '../../src/report/words.ts';
import type { Block } from './outline.ts';

export function Outline({ blocks }: { readonly blocks: readonly Block[] }): ReactNode {
  const largest = Math.max(1, ...blocks.map(({ weights }) => weights));
  return (
    <details className="outline">
      <summary>{blocks.length} blocks, from input to output</summary>
      <div className="scroll" tabIndex={0} role="region" aria-label="outline">
        <table className="outline">
          <thead><tr><th scope="col">block</th><th scope="col">what it holds</th><th scope="col" className="number">weights</th><th scope="col"><span className="hidden">share</span></th></tr></thead>
          <tbody>
            {blocks.map(({ name, parts, weights }, i) => (
              <tr key={`${name} ${i}`}><td>{name}</td><td>{parts.join(' → ')}</td><td className="number">{integer(weights)}</td><td className="bar narrow" aria-hidden="true"><span style={{ width: `${(100 * weights) / largest}%` }} /></td></tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
