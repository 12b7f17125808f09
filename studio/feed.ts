/** The catalogue as an Atom feed, the newest paper first: what it does, how to run it, what was found. */
import { papers, publishedOf } from '../src/recipes/catalogue.ts';
import { effectOf, effectText } from '../src/recipes/catalogue-effects.ts';
import { unmeasured } from '../src/recipes/catalogue-unmeasured.ts';
import type { Arm } from '../src/reproductions/reproduction.ts';

export interface FeedResult { readonly recipe: string; readonly full: boolean; readonly claim: string; readonly arms: readonly Arm[]; readonly checks: readonly { readonly holds: boolean }[] }

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]!);
/** A month counts from its first day. */
const moment = (published: string): string => `${published.length === 7 ? `${published}-01` : published}T00:00:00Z`;

export function atomFeed(results: readonly FeedResult[]): string {
  // As in the page, the protocol of the paper goes before the reduced one.
  const found = new Map(results.toSorted((a, b) => Number(a.full) - Number(b.full)).map((result) => [result.recipe, result]));
  const entries = papers.map((paper) => ({ ...paper, published: publishedOf(paper) })).toSorted((a, b) => moment(b.published).localeCompare(moment(a.published)));
  return `<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
<title>Methods of fewbit</title>
<subtitle>Papers on low-bit networks, what they claim and what was measured</subtitle>
<id>urn:fewbit:methods</id>
<updated>${moment(entries[0].published)}</updated>
<author><name>fewbit</name></author>
${entries.map(({ name, area, arxiv, published, title, summary }) => {
    const result = found.get(name);
    const effect = result === undefined ? undefined : effectOf(name, result.arms);
    const measured = result === undefined
      ? ` The claim: ${unmeasured[name].claim} Not measured here: ${unmeasured[name].reason}`
      : ` The claim: ${result.claim} ${result.checks.filter(({ holds }) => holds).length} of ${result.checks.length} checks held in our reproduction.${effect === undefined ? '' : ` Measured: ${effectText(effect)}.`}`;
    return `<entry><id>urn:fewbit:method:${escaped(name)}</id><title>${escaped(title)}</title><updated>${moment(published)}</updated><category term="${escaped(area)}"/>${arxiv === null ? '' : `<link href="https://arxiv.org/abs/${escaped(arxiv)}"/>`}<summary>${escaped(summary + measured)}</summary></entry>`;
  }).join('\n')}
</feed>
`;
}
