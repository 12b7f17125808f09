/** Everything that shows a plan or a result. */
export { comparisonText } from './comparison-text.ts';
export { inspectionText } from './inspection-text.ts';
export { resultHtml } from './html.ts';
export { jsonText } from './json.ts';
export { manifestOf, type Manifest } from './manifest.ts';
export { modelCard } from './model-card.ts';
export { planText, resultText, verdictText, type TextOptions } from './table.ts';
