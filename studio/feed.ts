/** The catalogue as an Atom feed, the newest paper first: what it does, how to run it, what was found. */
import { papers } from '../src/recipes/catalogue.ts';

export interface FeedResult { readonly recipe: string; readonly claim: string; readonly checks: readonly { readonly holds: boolean }[] }

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]!);
/** Papers without a date stand at the end. */
const moment = (published: string | null): string => `${published ?? '1970-01-01'}T00:00:00Z`;

export function atomFeed(results: readonly FeedResult[]): string {
  const found = new Map(results.map((result) => [result.recipe, result]));
  const entries = papers.toSorted((a, b) => moment(b.published).localeCompare(moment(a.published)));
  return `<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
<title>Methods of fewbit</title>
<subtitle>Papers on low-bit networks, what they claim and what was measured</subtitle>
<id>urn:fewbit:methods</id>
<updated>${moment(entries[0].published)}</updated>
<author><name>fewbit</name></author>
${entries.map(({ name, area, arxiv, published, title, summary }) => {
    const result = found.get(name);
    const measured = result === undefined ? '' : ` ${result.checks.filter(({ holds }) => holds).length} of ${result.checks.length} checks held in our reproduction. The claim: ${result.claim}`;
    return `<entry><id>urn:fewbit:method:${escaped(name)}</id><title>${escaped(title)}</title><updated>${moment(published)}</updated><category term="${escaped(area)}"/>${arxiv === null ? '' : `<link href="https://arxiv.org/abs/${escaped(arxiv)}"/>`}<summary>${escaped(summary + measured)}</summary></entry>`;
  }).join('\n')}
</feed>
`;
}
