/**
 * Lets the page start and work without a network once it was loaded. The build puts `build` and `files` before this text:
 * a name for the cache, and the files that are taken at once; large ones (engines) are kept when they are first used.
 */
/* global build, files */
const name = `fewbit-studio-${build}`;

self.addEventListener('install', (event) => event.waitUntil(caches.open(name).then((cache) => cache.addAll(files))));

self.addEventListener('activate', (event) => event.waitUntil((async () => {
  for (const other of await caches.keys()) if (other.startsWith('fewbit-studio-') && other !== name) await caches.delete(other);
  await self.clients.claim();
})()));

/** From the network, and kept. */
async function fetched(request) {
  const answer = await fetch(request);
  if (answer.status === 200) {
    const copy = answer.clone();
    await (await caches.open(name)).put(request, copy).catch(() => {});
  }
  return answer;
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || request.headers.has('range') || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith((async () => {
    const kept = () => caches.match(request, { ignoreSearch: request.mode === 'navigate' });
    // The page itself may be newer on the server; the names of all else change with their content.
    if (request.mode === 'navigate') return fetched(request).catch(async (error) => (await kept()) ?? Promise.reject(error));
    return (await kept()) ?? fetched(request);
  })());
});
