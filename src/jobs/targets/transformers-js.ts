/** Folders that transformers.js loads: one ONNX file per scheme under `onnx/`, and the side files that all of them share. */
import { isJsonObject, parseJsonBytes } from '../../files/json.ts';
import type { TargetWriter } from '../target.ts';
import { described, isLarge, schemeGraph, tensorBits, writeGraph } from './onnx.ts';
import { planGraph } from './onnx-plan.ts';
import { sideFiles, jsonBytes, writeSideFiles } from './side-files.ts';

/** Spellings of `dtype` that clients know, with the suffix of the file each one opens. */
const suffixes: Readonly<Record<string, string>> = {
  fp32: '', fp16: '_fp16', q8: '_quantized', int8: '_int8', uint8: '_uint8', q4: '_q4', q4f16: '_q4f16', bnb4: '_bnb4',
  q2: '_q2', q2f16: '_q2f16', q1: '_q1', q1f16: '_q1f16',
};

const dtypeOf = (fileName: string): string | undefined => Object.keys(suffixes).find((dtype) => fileName === `model${suffixes[dtype]}.onnx`);

type JsonObject = Readonly<Record<string, unknown>>;
const objectOr = (value: unknown): JsonObject => (isJsonObject(value as never) ? (value as JsonObject) : {});

/**
 * config.json with what the client must know of the folder: which files have their tensors beside them, and the dtype to
 * load when none is asked for (the first that was written). What earlier variants left is kept.
 */
export function clientConfig(rawConfig: JsonObject, present: JsonObject | undefined, fileName: string, external: boolean): JsonObject {
  const earlier = objectOr((present ?? rawConfig)['transformers.js_config']);
  const { [fileName]: _replaced, ...others } = objectOr(earlier.use_external_data_format);
  const chunks = { ...others, ...(external ? { [fileName]: 1 } : {}) };
  const { use_external_data_format: _chunks, ...rest } = earlier;
  const dtype = rest.dtype ?? dtypeOf(fileName);
  return {
    ...rawConfig,
    'transformers.js_config': { ...rest, ...(dtype === undefined ? {} : { dtype }), ...(Object.keys(chunks).length === 0 ? {} : { use_external_data_format: chunks }) },
  };
}

export const transformersJsTarget: TargetWriter = {
  plan: async (model, spec, settings) => planGraph(model, spec, settings),
  async write(context) {
    const { model, spec } = context;
    const { graph, applied, notes } = await schemeGraph(context);
    const [folder, fileName] = [spec.file.slice(0, spec.file.indexOf('/')), spec.file.slice(spec.file.lastIndexOf('/') + 1)];
    const external = isLarge(graph);
    const language = model.language!;
    let side: string[] = [];
    // A full disk leaves no folder of side files alone; where the model lies, its side files do.
    await writeGraph(context, graph, spec.file, async () => {
      side = await writeSideFiles(context, folder, new Map<string, Uint8Array | ((present: Uint8Array | undefined) => Uint8Array)>([
        ['config.json', (present) => jsonBytes(clientConfig(language.rawConfig, present === undefined ? undefined : objectOr(parseJsonBytes(present, `${folder}/config.json`)), fileName, external))],
        ...sideFiles(language),
      ]));
    });
    const unnamed = dtypeOf(fileName) === undefined ? [`transformers.js has no dtype of this name: load it with model_file_name: '${fileName.slice(0, -5)}' and dtype: 'fp32'`] : [];
    return { files: [spec.file, ...(external ? [`${spec.file}_data`] : []), ...side], notes: [...notes(), ...unnamed], tensorBits: tensorBits(graph), ...(await described(context, applied)) };
  },
};
