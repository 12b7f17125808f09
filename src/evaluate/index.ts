/** Measuring a written file against the float model. */
export * from './feeds.ts';
export * from './score.ts';
export * from './tasks.ts';
export * from './verdict.ts';
export { measureLatency, type Latency, type LatencyOptions, type Timed } from './metrics/latency.ts';
export type { Task, TaskOptions } from './tasks/task.ts';
