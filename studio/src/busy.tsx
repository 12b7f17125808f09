/** Work that is going on: what, how far, how long still, the memory it takes; and a way to stop it. */
import { useEffect, useState, type ReactNode } from 'react';
import { duration, size } from './words.ts';

export interface Busy { readonly text: string; readonly share?: number; /** Seconds. */ readonly left?: number; readonly cancellable: boolean }

/** Measured by the browser at its leisure, page and worker together; undefined where it does not tell. */
function useMemory(): number | undefined {
  const [bytes, setBytes] = useState<number>();
  useEffect(() => {
    let shown = true;
    const { measureUserAgentSpecificMemory: measure } = performance as Performance & { measureUserAgentSpecificMemory?(): Promise<{ readonly bytes: number }> };
    const look = async (): Promise<void> => {
      while (shown && measure !== undefined) {
        const found = await measure.call(performance).catch(() => undefined);
        if (found === undefined) return;
        if (shown) setBytes(found.bytes);
        await new Promise((resolve) => setTimeout(resolve, 3000));
      }
    };
    void look();
    return () => { shown = false; };
  }, []);
  return bytes;
}

export function BusyBar({ busy: { text, share, left, cancellable }, onCancel }: { readonly busy: Busy; readonly onCancel: () => void }): ReactNode {
  const memory = useMemory();
  return (
    <div className="busy" role="status">
      <span className="what">{text}</span>
      <progress {...(share === undefined ? {} : { value: share })} aria-label={text} />
      {left !== undefined && <span>about {duration(left)} left</span>}
      {memory !== undefined && <span title="of this page and its worker, by the browser's own count, which may leave the engine's out">{size(memory)} of memory</span>}
      {cancellable && <button type="button" onClick={onCancel}>Cancel</button>}
    </div>
  );
}
