/** What an inference engine must offer. Implementations: `ort-node.ts`, `ort-web.ts`. */
import type { Graph, ValueInfo } from '../graph/graph.ts';
import type { Tensor } from './tensor.ts';

export type Feeds = Readonly<Record<string, Tensor>>;

export interface Session {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /**
   * Runs once; `fetches` limits the outputs that are computed and returned. An engine that can writes those named in `into`
   * to its arrays, which are then the ones returned.
   */
  run(feeds: Feeds, fetches?: readonly string[], into?: Feeds): Promise<Record<string, Tensor>>;
  dispose(): Promise<void>;
}

export interface SessionOptions {
  /** Threads inside one operator; default 1, so that sums have one order on every machine. */
  readonly threads?: number;
  /** `cpu` and `webgpu` in Node; `wasm` and `webgpu` in the browser. */
  readonly backend?: 'cpu' | 'wasm' | 'webgpu';
  /** Graph optimisation of the engine; `none` keeps every operator as written. */
  readonly optimize?: 'all' | 'none';
}

/** A model on disk (external data beside it), or its whole bytes. */
export type ModelBytes = { readonly path: string } | { readonly bytes: Uint8Array };

export interface Engine {
  /** Engine name and version, for manifests. */
  readonly name: string;
  open(model: ModelBytes, options?: SessionOptions): Promise<Session>;
  /** Opens a graph of any size without holding its weights in one buffer; absent where there is no disk. */
  openGraph?(graph: Graph, options?: SessionOptions): Promise<Session>;
}
