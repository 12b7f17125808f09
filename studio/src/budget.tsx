/** A size for the file: each layer gets the format that serves it best. The slider stops where a better choice begins. */
import { lazy, Suspense, useEffect, useRef, useState, type ReactNode } from 'react';
import type { StudioWorker } from './client.ts';
import type { FileRef, Front, OpenedModel, Request } from './protocol.ts';
import { size } from './words.ts';

const FrontPicture = lazy(async () => ({ default: (await import('./front-picture.tsx')).FrontPicture }));

export interface BudgetProps {
  readonly model: OpenedModel;
  readonly worker: StudioWorker;
  readonly request: Request;
  /** Sample inputs that errors are measured on; without any the weights alone are looked at. */
  readonly data: readonly FileRef[];
  readonly budget: number | undefined;
  readonly onBudget: (budget: number | undefined) => void;
}

/** Enough bits for the point and no whole number: those name single formats. */
export function budgetOf(bitsPerWeight: number): number {
  const up = Math.ceil(bitsPerWeight * 100) / 100;
  return Number.isInteger(up) ? up + 0.01 : up;
}

export function Budget({ model, worker, request, data, budget, onBudget }: BudgetProps): ReactNode {
  const [front, setFront] = useState<Front>();
  const [at, setAt] = useState(0);
  const [done, setDone] = useState<number>();
  const [wrong, setWrong] = useState('');
  // What stays float or has a format of its own is no part of the choice.
  const layers = `${request.keep} ${request.layers ?? ''}`;
  const [measuredFor, setMeasuredFor] = useState(layers);
  const stale = front !== undefined && measuredFor !== layers;
  const measuring = useRef(false);
  // Sizes of another recipe, place or other inputs: nobody waits for these any more. A run that does wait is not lost with them.
  useEffect(() => () => { if (measuring.current && worker.calls === 1) worker.cancel(); }, [worker]);
  const measure = (): void => {
    setWrong('');
    setDone(0);
    measuring.current = true;
    worker.call('front', { request, data }, (_text, share) => setDone(share)).then((found) => {
      setFront(found);
      setMeasuredFor(layers);
      const near = budget === undefined ? -1 : found.points.findIndex(({ bitsPerWeight }) => budgetOf(bitsPerWeight) >= budget);
      choose(found, near < 0 ? Math.floor(found.points.length / 2) : near);
    }, (error: Error) => { if (error.message !== 'cancelled') setWrong(error.message); }).finally(() => { measuring.current = false; setDone(undefined); });
  };
  const choose = ({ points }: Front, index: number): void => {
    setAt(index);
    onBudget(budgetOf(points[index].bitsPerWeight));
  };
  const point = front?.points[at];
  return (
    <fieldset className="budgets">
      <legend>Or a budget: each layer gets the format that serves it best within it</legend>
      {front === undefined && budget !== undefined && <label className="check"><input type="checkbox" checked onChange={() => onBudget(undefined)} /> a mixed file of {budget} bits per weight</label>}
      {(front === undefined || stale) && <button type="button" disabled={done !== undefined} onClick={measure}>{stale ? 'See the sizes with these formats of layers' : 'See what sizes can be had'}</button>}
      {done !== undefined && <span className="row"><progress value={done} aria-label="errors of layers" /> <button type="button" onClick={() => worker.cancel()}>Cancel</button></span>}
      {wrong !== '' && <p className="trouble" role="alert">{wrong}</p>}
      {front !== undefined && point !== undefined && (
        <>
          <label className="check"><input type="checkbox" checked={budget !== undefined} onChange={({ target }) => onBudget(target.checked ? budgetOf(point.bitsPerWeight) : undefined)} /> a mixed file of</label>
          <label className="budget">
            <span>{budgetOf(point.bitsPerWeight).toFixed(2)} bits per weight, about {size((model.parameters * point.bitsPerWeight) / 8)}; error {point.loss.toPrecision(2)}</span>
            <input type="range" min={0} max={front.points.length - 1} step={1} value={at} aria-label="size of the file" aria-valuetext={`${budgetOf(point.bitsPerWeight).toFixed(2)} bits per weight`} onChange={({ target }) => choose(front, Number(target.value))} />
          </label>
          <Suspense><FrontPicture front={front} at={point} /></Suspense>
        </>
      )}
    </fieldset>
  );
}
