/** A line every 50 steps, and the seconds since the start. */
export function progress(steps: number): { readonly onStep: (step: number, loss: number, norm: number) => void; readonly seconds: () => string } {
  const started = performance.now();
  const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(0)} s`;
  return {
    seconds,
    onStep(step, loss, norm) {
      if (step % 50 === 0) console.log(`step ${step} of ${steps}  loss ${loss.toFixed(3)}  gradient ${norm.toFixed(2)}  ${seconds()}`);
    },
  };
}
