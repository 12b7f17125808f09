/** Work that is going on: what, how far, how long still, the memory it takes; and a way to stop it. */
import { useEffect, useState, type ReactNode } from 'react';
import type { StudioWorker } from './client.ts';
import { duration, size } from './words.ts';

export interface Busy { readonly text: string; readonly share?: number; /** Seconds. */ readonly left?: number; readonly cancellable: boolean }

/** Between two counts by the browser, which wait for its next garbage collection: some ten seconds each. */
const countPauseMs = 5000;
const lookMs = 500;

/** Bytes of JavaScript in this page and its workers; undefined until the browser has counted, and where it does not. */
let counted: { readonly bytes: number; readonly at: number } | undefined;
/** A count says nothing about what came a minute after it. */
const countHoldsMs = 60_000;

function memoryOf({ wasmBytes }: StudioWorker): { readonly bytes: number; readonly whole: boolean } {
  const javaScript = counted === undefined || performance.now() - counted.at > countHoldsMs ? undefined : counted.bytes;
  return { bytes: wasmBytes + (javaScript ?? 0), whole: javaScript !== undefined };
}

/** Memory of the page: what the browser counts, and the WebAssembly memories that it leaves out. */
function useMemory(worker: StudioWorker): { readonly bytes: number; readonly whole: boolean } {
  const [memory, setMemory] = useState(memoryOf(worker));
  useEffect(() => {
    let shown = true;
    const { measureUserAgentSpecificMemory: measure } = performance as Performance & { measureUserAgentSpecificMemory?(): Promise<{ readonly bytes: number }> };
    const count = async (): Promise<void> => {
      while (shown && measure !== undefined) {
        const found = await measure.call(performance).catch(() => undefined);
        if (found === undefined) return;
        counted = { bytes: found.bytes, at: performance.now() };
        await new Promise((resolve) => setTimeout(resolve, countPauseMs));
      }
    };
    void count();
    const look = setInterval(() => setMemory(memoryOf(worker)), lookMs);
    return () => { shown = false; clearInterval(look); };
  }, [worker]);
  return memory;
}

const wholeTitle = 'WebAssembly memories of kernels and engines as they are now, and JavaScript of the page and its workers as the browser last counted it, some seconds ago; memory of a graphics card is not in it';
const partTitle = 'WebAssembly memories of kernels and engines; the browser has not counted the JavaScript of this page, or does not';

export function BusyBar({ busy: { text, share, left, cancellable }, worker, onCancel }: { readonly busy: Busy; readonly worker: StudioWorker; readonly onCancel: () => void }): ReactNode {
  const { bytes, whole } = useMemory(worker);
  return (
    <div className="busy" role="status">
      <span className="what">{text}</span>
      <progress {...(share === undefined ? {} : { value: share })} aria-label={text} />
      {left !== undefined && <span>about {duration(left)} left</span>}
      {bytes > 0 && <span className="memory" aria-live="off" title={whole ? wholeTitle : partTitle}>{whole ? '' : 'at least '}{size(bytes)} of memory</span>}
      {cancellable && <button type="button" onClick={onCancel}>Cancel</button>}
    </div>
  );
}
