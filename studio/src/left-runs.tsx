/** What an earlier visit left in this browser: interrupted runs to go on with, and finished files that were not saved. */
import { useEffect, useRef, useState, type ReactNode } from 'react';
import type { FileRef, MadeFile, Trouble } from './protocol.ts';
import { chosen } from './open.tsx';
import { dropRun, filesOf, leftRuns, type Origin, type Run } from './runs.ts';
import { save } from './save.ts';

export interface LeftRunsProps {
  /** Looked for again when this changes. */
  readonly when: unknown;
  /** The run whose files the page shows already. */
  readonly shown: string | undefined;
  readonly disabled: boolean;
  /** Goes on; `files` and `data` where the model and the sample inputs had to be given again. */
  readonly onGoOn: (run: Run, files?: readonly FileRef[], data?: readonly FileRef[]) => void;
  readonly onTrouble: (trouble: Trouble) => void;
}

export function LeftRuns({ when, shown, disabled, onGoOn, onTrouble }: LeftRunsProps): ReactNode {
  const [runs, setRuns] = useState<readonly Run[]>([]);
  const look = (): void => { leftRuns().then(setRuns, (error: Error) => onTrouble({ message: error.message })); };
  useEffect(() => {
    look();
    // A worker that was ended gives up its folder a moment later.
    const again = [300, 1000, 4000].map((later) => setTimeout(look, later));
    return () => again.forEach(clearTimeout);
  }, [when]);
  const drop = (run: Run): void => { void dropRun(run.id).then(look); };
  const take = (run: Run): void => { filesOf(run).then((files: MadeFile[]) => files.forEach(save), (error: Error) => onTrouble({ message: error.message })); };
  return runs.filter(({ id }) => id !== shown).map((run) => <LeftRun key={run.id} run={run} disabled={disabled} onGoOn={onGoOn} onTake={take} onDrop={drop} />);
}

interface LeftRunProps {
  readonly run: Run;
  readonly disabled: boolean;
  readonly onGoOn: LeftRunsProps['onGoOn'];
  readonly onTake: (run: Run) => void;
  readonly onDrop: (run: Run) => void;
}

/** What must be chosen again, as a button says it; undefined where it is found without. */
function askedFor(origin: Origin | undefined, many: string): string | undefined {
  if (origin?.kind !== 'files') return undefined;
  return origin.names.length === 1 ? origin.names[0] : isFolder(origin) ? `its folder${many}` : `its files${many}`;
}

const isFolder = (origin: Origin): boolean => origin.kind === 'files' && origin.names.length > 1 && origin.names.every((name) => name.includes('/'));

function LeftRun({ run, disabled, onGoOn, onTake, onDrop }: LeftRunProps): ReactNode {
  const modelInput = useRef<HTMLInputElement>(null);
  const dataInput = useRef<HTMLInputElement>(null);
  /** The model, once it was given again and sample inputs are still wanted. */
  const [given, setGiven] = useState<readonly FileRef[]>();
  const { model, origin, request, made, started, data } = run;
  const what = `${request.weights === '' ? '' : request.weights}${request.budget === undefined ? '' : ` ${request.budget} bits`} as ${request.to}${data === undefined ? '' : `, calibrated on ${request.data}`}`;
  const wanted = given === undefined ? askedFor(origin, '') : undefined;
  const wantedData = askedFor(data?.origin, ' of sample inputs');
  const next = (): void => {
    if (wanted !== undefined) modelInput.current!.click();
    else if (wantedData !== undefined) dataInput.current!.click();
    else onGoOn(run, given);
  };
  const choose = (files: readonly FileRef[]): void => {
    if (wantedData === undefined) onGoOn(run, files);
    else setGiven(files);
  };
  return (
    <div className="left-run" role="region" aria-label={`earlier run of ${model}`}>
      <span><strong>{model}</strong> to {what}, {new Date(started).toLocaleString()}: {made === undefined ? 'interrupted' : `finished, ${made.length} ${made.length === 1 ? 'file' : 'files'}`}</span>
      {made === undefined && (
        <button type="button" className="primary" disabled={disabled} onClick={next}>
          {(wanted ?? wantedData) === undefined ? 'Go on' : `Go on: choose ${wanted ?? wantedData} again`}
        </button>
      )}
      {made !== undefined && <button type="button" className="primary" onClick={() => onTake(run)}>Save</button>}
      <button type="button" disabled={disabled} onClick={() => onDrop(run)}>Drop it</button>
      <input ref={modelInput} type="file" multiple hidden aria-label={`files of ${model}`} {...(isFolder(origin) ? { webkitdirectory: '' } : {})} onChange={({ target }) => choose(chosen(target.files))} />
      {data !== undefined && <input ref={dataInput} type="file" multiple hidden aria-label={`sample inputs of ${model}`} {...(isFolder(data.origin) ? { webkitdirectory: '' } : {})} onChange={({ target }) => onGoOn(run, given, chosen(target.files))} />}
    </div>
  );
}
