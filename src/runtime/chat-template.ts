/** The package that renders chat templates, apart from the rest: pages whose models have none do not load it. */
import { Template } from '@huggingface/jinja';

export const render = (source: string, values: Record<string, unknown>): string => new Template(source).render(values);
