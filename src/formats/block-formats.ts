/** The ggml block types under spellings of their own: two of them share a name with a microscaling format. */
import type { NumberFormat } from './format.ts';

export const blockFormats: readonly NumberFormat[] = [];
