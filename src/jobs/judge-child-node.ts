/** The process in which judging happens: opens the float model, the data and the written files anew, and answers with verdicts. */
import { FewbitError } from '../errors.ts';
import { openData } from './data-node.ts';
import { judge } from './judge-node.ts';
import type { JudgeAnswer, JudgeRequest } from './judge-process-node.ts';
import type { Progress } from './progress.ts';
import { openModern } from './source-node.ts';

const send = (answer: JudgeAnswer): Promise<void> => new Promise((resolve) => { process.send!(answer, () => resolve()); });

const progress: Progress = {
  phase: (label, total) => void send({ kind: 'phase', label, ...(total === undefined ? {} : { total }) }),
  advance: (done) => void send({ kind: 'advance', done }),
  line: (text) => void send({ kind: 'line', text }),
  end: () => void send({ kind: 'end' }),
};

process.once('message', (request: JudgeRequest) => {
  const { settings, items } = request;
  const work = async (): Promise<JudgeAnswer> => {
    const model = await openModern(settings.model);
    try {
      const data = await openData(settings, model);
      return { kind: 'judged', judged: await judge(model, data, items, { threads: settings.threads, progress }) };
    } finally {
      await model.close();
    }
  };
  work().catch((error: unknown): JudgeAnswer => (error instanceof FewbitError
    ? { kind: 'refused', code: error.code, facts: error.facts, message: error.message, ...(error.wayOut === undefined ? {} : { wayOut: error.wayOut }) }
    : { kind: 'broken', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) }))
    .then(send)
    // Engines may leave threads behind; the answer is out.
    .then(() => process.exit(0));
});
