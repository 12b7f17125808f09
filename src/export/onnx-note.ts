/** What an export has to say about a layer: where it left the straight road, and why. */
export interface ExportNote {
  /** Weight, value or node that the note is about. */
  readonly name: string;
  readonly kind: 'float' | 'slow' | 'overflow' | 'form';
  /** One lower-case line, the name included. */
  readonly text: string;
}

export const note = (kind: ExportNote['kind'], name: string, text: string): ExportNote => ({ kind, name, text: `${name}: ${text}` });
