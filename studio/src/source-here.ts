/** Takes the place of Node's opener of models where reproductions are built into the page: an ONNX file from beside it. */
import { modernModel } from '../../src/jobs/recipe-runner.ts';
import type { SourceModel } from '../../src/jobs/source.ts';
import { openBlobs } from '../../src/jobs/source-web.ts';
import { exampleFiles } from './examples.ts';

export const openModern = async (path: string): Promise<SourceModel> => modernModel(await openBlobs(await exampleFiles([path])));
