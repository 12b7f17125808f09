/** The paper's claim beside what was measured here; and, for experiments that fit a page, running them here. */
import { lazy, Suspense, useState, type ReactNode } from 'react';
import type { ReproductionReport } from '../../src/reproductions/reproduction.ts';
import type { StudioWorker } from './client.ts';
import { measuredResults } from './measured.ts';
import { isRunHere, minutesHere } from './runs-here.ts';

const ArmsPicture = lazy(async () => ({ default: (await import('./arms-picture.tsx')).ArmsPicture }));

function Report({ result, name, environment }: { readonly result: ReproductionReport; readonly name: string; readonly environment: string }): ReactNode {
  return (
    <>
      <p><strong>The paper:</strong> {result.claim}</p>
      <p><strong>Here:</strong> {result.experiment}</p>
      <Suspense><ArmsPicture arms={result.arms} recipe={name} /></Suspense>
      <div className="scroll" tabIndex={0} role="region" aria-label={`checks of ${name}`}>
        <table>
          <thead><tr><th scope="col">check</th><th scope="col">expected</th><th scope="col">measured</th><th scope="col">holds</th></tr></thead>
          <tbody>
            {result.checks.map((check) => (
              <tr key={check.name}><td>{check.name}{check.finding !== undefined && <p className="hint">{check.finding}</p>}</td><td>{check.expected}{check.paper !== undefined && <p className="hint">the paper: {check.paper}</p>}</td><td>{check.measured}</td><td>{check.holds ? 'yes' : 'no'}</td></tr>
            ))}
          </tbody>
        </table>
      </div>
      {result.notApplicable !== undefined && result.notApplicable.length > 0 && (
        <><p>These models cannot show:</p><ul>{result.notApplicable.map(({ arm, reason }) => <li key={arm}>{arm}: {reason}</li>)}</ul></>
      )}
      <p className="hint">{result.seeds.length} {result.seeds.length === 1 ? 'seed' : 'seeds'}, {Math.round(result.seconds)} s, {environment}; again with <code>npx fewbit reproduce {name}</code></p>
    </>
  );
}

export function Measured({ name }: { readonly name: string }): ReactNode {
  const result = measuredResults.get(name);
  const [open, setOpen] = useState(false);
  if (result === undefined) return null;
  const held = result.checks.filter(({ holds }) => holds).length;
  return (
    <details onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>{held} of {result.checks.length} checks hold in our reproduction</summary>
      {open && <Report result={result} name={name} environment={result.environment.cpu} />}
    </details>
  );
}

export function RunHere({ name, worker }: { readonly name: string; readonly worker: StudioWorker }): ReactNode {
  const [line, setLine] = useState<string>();
  const [result, setResult] = useState<ReproductionReport>();
  const [wrong, setWrong] = useState('');
  const minutes = isRunHere(name) ? minutesHere[name] : undefined;
  if (minutes === undefined) return null;
  const run = (): void => {
    setLine('starting');
    setWrong('');
    worker.call('reproduce', { recipe: name }, setLine).then(setResult, (error: Error) => { if (error.message !== 'cancelled') setWrong(error.message); }).finally(() => setLine(undefined));
  };
  return (
    <div className="here">
      <div className="row">
        <button type="button" disabled={line !== undefined} onClick={run}>Run it here</button>
        {line === undefined ? <span className="hint">one seed; networks are trained one after the other, some {minutes} minutes and more on one thread</span> : <><span role="status">{line}</span><button type="button" onClick={() => worker.cancel()}>Cancel</button></>}
      </div>
      {wrong !== '' && <p className="trouble" role="alert">{wrong}</p>}
      {result !== undefined && <Report result={result} name={name} environment="this page" />}
    </div>
  );
}
