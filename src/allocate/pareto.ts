/**
 * Choosing one option per layer so that costs and losses, each a sum over layers, trade best: the exact set of choices
 * that no other choice beats (dynamic programming over layers, as in ZeroQ, arXiv:2001.00281, section 3.3). One cost
 * and the whole front; several budgets at once are an integer program, in `choose.ts`.
 */
export interface Option { readonly cost: number; readonly loss: number }

export interface ParetoPoint {
  readonly cost: number;
  readonly loss: number;
  /** Index of the option taken per layer. */
  readonly choice: readonly number[];
}

/** States kept per layer where nothing else is asked for: beyond it neighbours are merged, keeping the better loss of each bin of cost. */
const defaultStates = 20_000;

interface State { readonly cost: number; readonly loss: number; readonly option: number; readonly before: State | undefined }

/** The front by ascending cost; `layers[i]` lists what layer i may take. */
export function paretoFront(layers: readonly (readonly Option[])[], maxStates = defaultStates): ParetoPoint[] {
  let states: State[] = [{ cost: 0, loss: 0, option: -1, before: undefined }];
  for (const options of layers) {
    const extended: State[] = [];
    for (const before of states) options.forEach(({ cost, loss }, option) => extended.push({ cost: before.cost + cost, loss: before.loss + loss, option, before }));
    extended.sort((a, b) => a.cost - b.cost || a.loss - b.loss);
    states = thinned(undominated(extended), maxStates);
  }
  return states.map((state) => ({ cost: state.cost, loss: state.loss, choice: choices(state, layers.length) }));
}

/** Cheapest loss within a budget; undefined where nothing fits. */
export function bestWithin(front: readonly ParetoPoint[], budget: number): ParetoPoint | undefined {
  let best: ParetoPoint | undefined;
  for (const point of front) if (point.cost <= budget) best = point;
  return best;
}

function undominated(sorted: readonly State[]): State[] {
  const kept: State[] = [];
  let least = Infinity;
  for (const state of sorted) {
    if (state.loss >= least) continue;
    least = state.loss;
    kept.push(state);
  }
  return kept;
}

function thinned(states: readonly State[], maxStates: number): State[] {
  if (states.length <= maxStates) return [...states];
  const [first, last] = [states[0].cost, states.at(-1)!.cost];
  const bins = new Map<number, State>();
  // Later states of a bin cost more and lose less.
  for (const state of states) bins.set(Math.floor(((state.cost - first) / (last - first)) * maxStates), state);
  return [...bins.values()];
}

function choices(state: State, count: number): number[] {
  const picked = Array<number>(count);
  let at: State | undefined = state;
  for (let layer = count - 1; layer >= 0; layer--) {
    picked[layer] = at!.option;
    at = at!.before;
  }
  return picked;
}
