/** Workers of a page from a script that its server hands out as bytes. */
export async function moduleWorker(path: string): Promise<() => Worker> {
  const url = URL.createObjectURL(new Blob([await (await fetch(path)).text()], { type: 'text/javascript' }));
  return () => new Worker(url, { type: 'module' });
}
