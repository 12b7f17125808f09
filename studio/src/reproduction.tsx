/** What was measured here of a paper's claim; and, for experiments that fit a page, running them in it, beside the result that is kept. */
import { lazy, Suspense, useState, type ReactNode } from 'react';
import type { Check, ReproductionReport } from '../../src/reproductions/reproduction.ts';
import type { StudioWorker } from './client.ts';
import { measuredResults } from './measured.ts';
import { isRunHere, minutesHere } from './runs-here.ts';

const ArmsPicture = lazy(async () => ({ default: (await import('./arms-picture.tsx')).ArmsPicture }));

const holds = (check: Check): string => (check.holds ? 'yes' : 'no');

interface ReportProps {
  readonly result: ReproductionReport;
  readonly name: string;
  readonly environment: string;
  /** Checks to set beside those of the result, by name. */
  readonly kept?: ReadonlyMap<string, Check>;
}

function Report({ result, name, environment, kept }: ReportProps): ReactNode {
  const protocol = Object.entries(result.protocol ?? {}).map(([what, value]) => `${what} ${value}`);
  return (
    <>
      <p><strong>Here:</strong> {result.experiment}</p>
      <Suspense><ArmsPicture arms={result.arms} recipe={name} /></Suspense>
      <div className="scroll" tabIndex={0} role="region" aria-label={kept === undefined ? `checks of ${name}` : `checks of ${name} in this page`}>
        <table>
          <thead><tr><th scope="col">check</th><th scope="col">expected</th><th scope="col">measured</th><th scope="col">holds</th>{kept !== undefined && <><th scope="col">kept result</th><th scope="col">holds</th></>}</tr></thead>
          <tbody>
            {result.checks.map((check) => {
              const other = kept?.get(check.name);
              return (
                <tr key={check.name}>
                  <td>{check.name}{check.finding !== undefined && <p className="hint">{check.finding}</p>}</td><td>{check.expected}{check.paper !== undefined && <p className="hint">the paper: {check.paper}</p>}</td><td>{check.measured}</td><td>{holds(check)}</td>
                  {kept !== undefined && <><td>{other?.measured ?? 'not among its checks'}</td><td>{other === undefined ? '' : holds(other)}</td></>}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {result.notApplicable !== undefined && result.notApplicable.length > 0 && (
        <><p>What this experiment cannot show:</p><ul>{result.notApplicable.map(({ arm, reason }) => <li key={arm}>{arm}: {reason}</li>)}</ul></>
      )}
      {result.notes.length > 0 && <details><summary>Model, data and settings</summary><ul>{result.notes.map((note) => <li key={note}>{note}</li>)}</ul></details>}
      <p className="hint">
        {result.page === true ? 'short protocol of this page' : result.full ? 'full protocol' : 'reduced protocol'}{protocol.length === 0 ? '' : ` (${protocol.join(', ')})`}; {result.seeds.length} {result.seeds.length === 1 ? 'seed' : 'seeds'}, {Math.round(result.seconds)} s, {environment}; {result.page === true ? 'all of it' : 'again'} with <code>npx fewbit reproduce {name}</code>
      </p>
    </>
  );
}

const heldOf = (checks: readonly Check[]): string => `${checks.filter((check) => check.holds).length} of ${checks.length} checks hold`;

export function Measured({ name }: { readonly name: string }): ReactNode {
  const result = measuredResults.get(name);
  const [open, setOpen] = useState(false);
  if (result === undefined) return null;
  return (
    <details className="measured" onToggle={({ currentTarget, target }) => { if (target === currentTarget) setOpen(currentTarget.open); }}>
      <summary>{heldOf(result.checks)} in our reproduction</summary>
      {open && <Report result={result} name={name} environment={result.environment.cpu} />}
    </details>
  );
}

export function RunHere({ name, worker }: { readonly name: string; readonly worker: StudioWorker }): ReactNode {
  const [line, setLine] = useState<string>();
  const [result, setResult] = useState<ReproductionReport>();
  const [wrong, setWrong] = useState('');
  if (!isRunHere(name)) return null;
  const run = (): void => {
    setLine('starting');
    setWrong('');
    setResult(undefined);
    worker.call('reproduce', { recipe: name }, setLine).then(setResult, (error: Error) => { if (error.message !== 'cancelled') setWrong(error.message); }).finally(() => setLine(undefined));
  };
  return (
    <div className="here">
      <div className="row">
        <button type="button" disabled={line !== undefined} aria-label={`Run it here: ${name}`} onClick={run}>Run it here</button>
        {line === undefined ? <span className="hint">one seed, the short protocol, about {minutesHere[name]} {minutesHere[name] === 1 ? 'minute' : 'minutes'} on one thread</span> : <><span role="status">{line}</span><button type="button" onClick={() => worker.cancel()}>Cancel</button></>}
      </div>
      {wrong !== '' && <p className="trouble" role="alert">{wrong}</p>}
      {result !== undefined && (
        <>
          <p aria-live="polite"><strong>In this page:</strong> {heldOf(result.checks)}</p>
          <Report result={result} name={name} environment="this page" kept={new Map((measuredResults.get(name)?.checks ?? []).map((check) => [check.name, check]))} />
        </>
      )}
    </div>
  );
}
