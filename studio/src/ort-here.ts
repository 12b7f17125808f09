/** Takes the place of the engine of Node where its reproductions are built into the page. */
export { lazyWasm as ortNode } from './worker-engine.ts';
