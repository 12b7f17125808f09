/** Models of the Hugging Face hub by id, and which of their files are needed. */
import { defineErrors } from '../errors.ts';

export const hubErrors = defineErrors('hub', {
  id: (f: { id: string }) => [`${f.id}: not a hub id`, 'write hf:owner/name, hf:owner/name@revision or hf:owner/name/file.gguf'],
  notFound: (f: { id: string }) => [`${f.id}: not in the hub, or private`, 'check the name; private models need HF_TOKEN'],
  denied: (f: { id: string; status: number }) => [`${f.id}: the hub denies access (status ${f.status})`, 'accept the licence on the page of the model and set HF_TOKEN'],
  token: (f: { variable: string }) => [`${f.variable} is not a hub token: it does not start with hf_`, 'unset it, or take one from the settings page of the hub'],
  answer: (f: { id: string; reason: string }) => `${f.id}: the hub answered with something else than expected: ${f.reason}`,
  unreachable: (f: { id: string; reason: string }) => [`${f.id}: the hub cannot be reached: ${f.reason}`, 'check the connection, or give a local folder'],
  noFile: (f: { id: string; file: string }) => `${f.id}: has no file ${f.file}`,
  tooMany: (f: { id: string; limit: number }) => `${f.id}: more than ${f.limit} files`,
  noWeights: (f: { id: string }) => [`${f.id}: holds no safetensors, GGUF or ONNX file`, 'pickled weights (.bin, .pt) are never opened; convert them to safetensors first'],
  ambiguous: (f: { id: string; kind: string; count: number; example: string }) => [
    `${f.id}: holds ${f.count} ${f.kind} files`,
    `name one of them, such as ${f.id}/${f.example}`,
  ],
  name: (f: { id: string; file: string }) => `${f.id}: file name ${f.file} cannot be stored safely`,
  size: (f: { id: string; file: string; expected: number; got: number }) => `${f.id}: ${f.file} has ${f.got} bytes, the hub announced ${f.expected}`,
  digest: (f: { id: string; file: string }) => [`${f.id}: ${f.file} arrived damaged: its checksum differs from the one the hub gives`, 'run again; the damaged file was dropped'],
});

/** `hf:owner/name[@revision][/path/file]`, taken apart. */
export interface HubId {
  /** As it was written, for messages. */
  readonly id: string;
  readonly repo: string;
  readonly revision: string | undefined;
  /** One file of the repository, where the id names it. */
  readonly file: string | undefined;
}

const segment = /^[A-Za-z0-9](?:[\w.-]{0,94}[\w-])?$/;

/** Reads a hub id. A revision is one segment, or three that begin with `refs/`. */
export function parseHubId(id: string): HubId {
  const shown = id.length > 200 ? `${id.slice(0, 199)}…` : id;
  const fail = (): never => { throw hubErrors.id({ id: JSON.stringify(shown).slice(1, -1) }); };
  const parts = id.startsWith('hf:') ? id.slice(3).split('/') : fail();
  const [name = '', ...more] = (parts[1] ?? '').split('@');
  if (more.length > 1 || !segment.test(parts[0]) || !segment.test(name)) fail();
  let rest = parts.slice(2);
  let revision: string | undefined;
  if (more.length === 1) {
    revision = more[0];
    if (revision === 'refs') { revision = ['refs', ...rest.slice(0, 2)].join('/'); rest = rest.slice(2); }
    if (!revision.split('/').every((part) => segment.test(part))) fail();
  }
  const file = rest.length === 0 ? undefined : rest.join('/');
  if (file !== undefined && !isSafeName(file)) fail();
  return { id: shown, repo: `${parts[0]}/${name}`, revision, file };
}

/** Device names that Windows reserves in every folder, with and without an extension. */
const reserved = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i;

/** True for a relative name with `/` that stays below its folder on every system, and that no unfinished download uses. */
export function isSafeName(file: string): boolean {
  return file.length <= 400 && !file.endsWith('.part') && file.split('/').every((part) =>
    part !== '' && part.length <= 200 && !/[. ]$/.test(part) && !reserved.test(part)
    // eslint-disable-next-line no-control-regex
    && !/[\\:*?"<>|\u0000-\u001f\u007f]/.test(part));
}

/** What describes a model beside its weights: configuration, tokenizer, chat template, licence, model card. */
const describing = /^(?:[^/]+\.json|[^/]+\.jinja|merges\.txt|vocab\.txt|[^/]*tokenizer[^/]*\.model|sentencepiece[^/]*\.model|spiece\.model|README\.md|LICEN[CS]E[^/]*)$/;
const splitGguf = /-([0-9]{5})-of-([0-9]{5})\.gguf$/;

/**
 * The files that are needed of those a repository holds: what describes the model, and its weights in the first form
 * that is there: safetensors, GGUF (if it is only one), ONNX (`model.onnx` with its external data). Throws when there are none.
 */
export function neededFiles(hub: HubId, files: readonly string[]): string[] {
  const { id } = hub;
  const about = files.filter((file) => describing.test(file));
  if (hub.file !== undefined) {
    const { file } = hub;
    if (!files.includes(file)) throw hubErrors.noFile({ id, file });
    return file.endsWith('.onnx') ? [...about, file, ...dataOf(file, files)]
      : file.endsWith('.gguf') ? [file, ...shardsOf(file, files)]
        : file.endsWith('.safetensors') ? [...about.filter((other) => !other.endsWith('.index.json')), file] : [file];
  }
  const tensors = files.filter((file) => /^[^/]+\.safetensors$/.test(file));
  // Some repositories hold the same weights a second time under the names of another program.
  const standard = tensors.filter((file) => file.startsWith('model'));
  if (tensors.length > 0) return [...about, ...(standard.length > 0 ? standard : tensors)];

  const ggufs = files.filter((file) => file.endsWith('.gguf') && (splitGguf.exec(file)?.[1] ?? '00001') === '00001');
  if (ggufs.length > 1) throw hubErrors.ambiguous({ id, kind: 'GGUF', count: ggufs.length, example: ggufs[0] });
  if (ggufs.length === 1) return [...about, ggufs[0], ...shardsOf(ggufs[0], files)];

  const models = files.filter((file) => file.endsWith('.onnx'));
  const model = ['onnx/model.onnx', 'model.onnx'].find((file) => models.includes(file)) ?? (models.length === 1 ? models[0] : undefined);
  if (model !== undefined) return [...about, model, ...dataOf(model, files)];
  if (models.length > 1) throw hubErrors.ambiguous({ id, kind: 'ONNX', count: models.length, example: models[0] });
  throw hubErrors.noWeights({ id });
}

/** External data beside an ONNX model, by the names that exporters give it: `x.onnx_data`, `x.onnx.data`, `x.onnx_data_1`. */
const dataOf = (model: string, files: readonly string[]): string[] =>
  files.filter((file) => file.startsWith(`${model}_data`) || file.startsWith(`${model}.data`) || file === model.replace(/\.onnx$/, '.data'));

/** The other parts of a GGUF file that is split. */
function shardsOf(first: string, files: readonly string[]): string[] {
  const match = splitGguf.exec(first);
  if (match === null) return [];
  const stem = first.slice(0, match.index);
  return files.filter((file) => file !== first && file.startsWith(stem) && splitGguf.exec(file)?.[2] === match[2] && file.length === first.length);
}
