/** What an earlier visit left in this browser: interrupted runs to go on with, and finished files that were not saved. */
import { useEffect, useRef, useState, type ReactNode } from 'react';
import type { FileRef, MadeFile, Trouble } from './protocol.ts';
import { chosen } from './open.tsx';
import { dropRun, filesOf, leftRuns, type Run } from './runs.ts';
import { save } from './save.ts';

export interface LeftRunsProps {
  /** Looked for again when this changes. */
  readonly when: unknown;
  readonly disabled: boolean;
  /** Goes on; `files` where the model must be given again. */
  readonly onGoOn: (run: Run, files?: readonly FileRef[]) => void;
  readonly onTrouble: (trouble: Trouble) => void;
}

export function LeftRuns({ when, disabled, onGoOn, onTrouble }: LeftRunsProps): ReactNode {
  const [runs, setRuns] = useState<readonly Run[]>([]);
  const look = (): void => {
    leftRuns().then(async (found) => {
      // Sample inputs are gone with the page, and what was calibrated on them cannot go on.
      const lost = found.filter(({ made, request }) => made === undefined && request.data !== '');
      for (const { id } of lost) await dropRun(id);
      setRuns(found.filter((run) => !lost.includes(run)));
    }, (error: Error) => onTrouble({ message: error.message }));
  };
  useEffect(() => {
    look();
    // A worker that was ended gives up its folder a moment later.
    const again = [300, 1000, 4000].map((later) => setTimeout(look, later));
    return () => again.forEach(clearTimeout);
  }, [when]);
  const drop = (run: Run): void => { void dropRun(run.id).then(look); };
  const take = (run: Run): void => { filesOf(run).then((files: MadeFile[]) => files.forEach(save), (error: Error) => onTrouble({ message: error.message })); };
  return runs.map((run) => <LeftRun key={run.id} run={run} disabled={disabled} onGoOn={onGoOn} onTake={take} onDrop={drop} />);
}

function LeftRun({ run, disabled, onGoOn, onTake, onDrop }: { readonly run: Run; readonly disabled: boolean; readonly onGoOn: LeftRunsProps['onGoOn']; readonly onTake: (run: Run) => void; readonly onDrop: (run: Run) => void }): ReactNode {
  const files = useRef<HTMLInputElement>(null);
  const { model, origin, request, made, started } = run;
  const folder = origin.kind === 'files' && origin.names.length > 1 && origin.names.every((name) => name.includes('/'));
  const what = `${request.weights === '' ? '' : request.weights}${request.budget === undefined ? '' : ` ${request.budget} bits`} as ${request.to}`;
  return (
    <div className="left-run" role="region" aria-label={`earlier run of ${model}`}>
      <span><strong>{model}</strong> to {what}, {new Date(started).toLocaleString()}: {made === undefined ? 'interrupted' : `finished, ${made.length} ${made.length === 1 ? 'file' : 'files'}`}</span>
      {made === undefined && (
        <button type="button" className="primary" disabled={disabled} onClick={() => (origin.kind === 'files' ? files.current!.click() : onGoOn(run))}>
          {origin.kind === 'files' ? `Go on: choose ${folder ? 'its folder' : origin.names.length > 1 ? 'its files' : origin.names[0]} again` : 'Go on'}
        </button>
      )}
      {made !== undefined && <button type="button" className="primary" onClick={() => onTake(run)}>Save</button>}
      <button type="button" disabled={disabled} onClick={() => onDrop(run)}>Drop it</button>
      <input ref={files} type="file" multiple hidden aria-label={`files of ${model}`} {...(folder ? { webkitdirectory: '' } : {})} onChange={({ target }) => onGoOn(run, chosen(target.files))} />
    </div>
  );
}
