/** A reproduction as terminal text: claim, arms, checks. */
import type { ReproductionReport, Measured } from '../reproductions/reproduction.ts';
import { textTable } from './text-table.ts';
import { figure } from './words.ts';

const shown = ({ mean, spread, runs }: Measured): string => (runs > 1 ? `${figure(mean)} ± ${figure(spread)}` : figure(mean));

/** Tables of what was run and what was expected of it. */
export function reproductionText(report: ReproductionReport, width?: number): string {
  const metrics = [...new Set(report.arms.flatMap((arm) => Object.keys(arm.metrics)))];
  const arms = textTable(
    [{ title: 'arm', align: 'left' }, ...metrics.map((title) => ({ title, align: 'right' as const }))],
    report.arms.map((arm) => [arm.name, ...metrics.map((name) => (arm.metrics[name] === undefined ? '' : shown(arm.metrics[name])))]), width === undefined ? {} : { width },
  );
  const checks = report.checks.flatMap(({ name, expected, measured, holds, paper, finding }) => [
    `${holds ? 'holds ' : 'FAILS '} ${name}: expected ${expected}; measured ${measured}${paper === undefined ? '' : `; the paper ${paper}`}`, ...(finding === undefined ? [] : [`       ${finding}`]),
  ]);
  const other = (report.notApplicable ?? []).map(({ arm, reason }) => `not applicable: ${arm}: ${reason}`);
  const protocol = Object.entries(report.protocol ?? {}).map(([name, value]) => `${name} ${value}`);
  const missed = report.checks.filter(({ holds }) => !holds).length;
  return [
    `${report.recipe}: ${report.paper.title} (arXiv:${report.paper.arxiv})`, `claim       ${report.claim}`, `experiment  ${report.experiment}`,
    ...(protocol.length === 0 ? [] : [`protocol    ${report.full ? 'full' : 'reduced'}: ${protocol.join(', ')}`]),
    ...report.notes.map((note) => `            ${note}`), '', ...arms, '', ...checks, ...other, '',
    `${missed === 0 ? 'every check holds' : `${missed} of ${report.checks.length} checks do not hold`}; seeds ${report.seeds.join(', ')}; ${report.seconds.toFixed(0)} s`,
  ].join('\n');
}
