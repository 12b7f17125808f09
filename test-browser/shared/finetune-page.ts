/** In the page: fine-tuning on files that the page holds. */
import * as ort from 'onnxruntime-web/wasm';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import { finetuneKeywords, type KeywordRun } from './finetune.ts';

ort.env.wasm.wasmPaths = '/node_modules/onnxruntime-web/dist/';

const blob = async (path: string): Promise<Blob> => (await fetch(`/${path}`)).blob();

export async function finetune(): Promise<KeywordRun> {
  return finetuneKeywords(ortWeb(ort as unknown as OrtWebModule), blob);
}
