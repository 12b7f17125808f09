/** A plot that fills the width it is given and is drawn again when that changes. */
import { useEffect, useRef, type ReactNode } from 'react';

export function Plotted({ draw, label }: { readonly draw: (width: number) => Element; readonly label: string }): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current!;
    const paint = (): void => {
      const picture = draw(element.clientWidth);
      // The box is the picture and has its name; marks inside of it are nothing to step through.
      picture.setAttribute('aria-hidden', 'true');
      element.replaceChildren(picture);
    };
    const observer = new ResizeObserver(paint);
    observer.observe(element);
    return () => observer.disconnect();
  }, [draw]);
  return <div ref={box} className="plot" role="img" aria-label={label} />;
}
