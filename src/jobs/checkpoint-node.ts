/** The state of a training run on disk, from which it continues bit for bit. */
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import type { Tensor } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import { writeFileAtomic } from '../files/fs-node.ts';
import { openSafetensors, writeSafetensors } from '../files/safetensors.ts';
import { memorySink, memorySource } from '../files/source.ts';
import { copyTensor, memoryTensor } from '../tensor-ref.ts';
import type { Trainer } from '../train/trainer.ts';

const errors = defineErrors('checkpoint', {
  otherRun: (f: { path: string }) => [`${f.path} belongs to a run with other settings`, 'give the same settings, or start again without --resume'],
});

export interface Checkpoint {
  save(state: ReadonlyMap<string, Tensor>): Promise<void>;
  /** Restores the trainer where a checkpoint is there, and gives all that was saved. */
  load(trainer: Trainer): Promise<ReadonlyMap<string, Tensor>>;
  forget(): Promise<void>;
}

/** A checkpoint at a path; `settings` tell runs apart. */
export function checkpointFile(path: string, settings: string): Checkpoint {
  return {
    async save(state) {
      const sink = memorySink();
      const tensors = [...state].map(([name, { type, shape, data }]) =>
        copyTensor(memoryTensor(name, type, shape, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))));
      await writeSafetensors(sink, tensors, new Map([['settings', settings]]));
      await writeFileAtomic(path, sink.bytes());
    },
    async load(trainer) {
      if (!existsSync(path)) return new Map();
      const file = await openSafetensors(memorySource(path, await readFile(path)));
      if (file.metadata.get('settings') !== settings) throw errors.otherRun({ path });
      const state = new Map<string, Tensor>();
      for (const [name, tensor] of file.tensors) {
        // A copy of its own: what Node reads is a view of the whole file.
        const bytes = Uint8Array.from(await tensor.read());
        state.set(name, { type: tensor.type as Tensor['type'], shape: tensor.shape, data: tensor.type === 'f64' ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer) });
      }
      trainer.restore(state);
      return state;
    },
    async forget() { await rm(path, { force: true }); },
  };
}
