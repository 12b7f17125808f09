/** Pieces of HTML. Every text from outside is escaped here. */

const signs: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
export const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => signs[sign]);

export interface Head {
  readonly title: string;
  readonly align: 'left' | 'right';
  /** What the column holds, shown when pointed at. */
  readonly meaning?: string;
}

/** The first cell of a row names it. `strong` marks a row by its index. */
export function tableHtml(caption: string, columns: readonly Head[], rows: readonly (readonly string[])[], strong = -1): string {
  const heads = columns.map(({ title, align, meaning }) => `<th scope="col" class="${align}"${meaning === undefined ? '' : ` title="${escaped(meaning)}"`}>${escaped(title)}</th>`).join('');
  const cell = (text: string, i: number): string => (i === 0 ? `<th scope="row" class="${columns[i].align}">${breakable(text)}</th>` : `<td class="${columns[i].align}">${escaped(text)}</td>`);
  const body = rows.map((row, at) => `<tr${at === strong ? ' class="strong"' : ''}>${row.map(cell).join('')}</tr>`).join('\n');
  return `<div class="scroll" role="region" aria-label="${escaped(caption)}" tabindex="0"><table><caption>${escaped(caption)}</caption><thead><tr>${heads}</tr></thead><tbody>\n${body}\n</tbody></table></div>`;
}

/** Names break after the signs that join their parts, but not before an extension. */
const breakable = (text: string): string => escaped(text).replace(/[_/-](?=.)|\.(?!\w+$)/g, (sign) => `${sign}<wbr>`);

/** Names and values. */
export const listHtml = (pairs: readonly (readonly [name: string, value: string])[]): string =>
  `<dl>${pairs.map(([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd></div>`).join('\n')}</dl>`;

export const codeHtml = (code: string): string => `<pre tabindex="0"><code>${escaped(code.trimEnd())}</code></pre>`;

/** Closed until it is asked for. */
export const detailsHtml = (summary: string, parts: readonly string[]): string =>
  `<details><summary>${escaped(summary)}</summary>\n${parts.join('\n')}\n</details>`;

/** `parts` are markup already. */
export const figureHtml = (caption: string, parts: readonly string[]): string =>
  `<figure>${parts.join('\n')}\n<figcaption>${escaped(caption)}</figcaption></figure>`;
