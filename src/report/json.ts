/** JSON of what a run leaves behind. JSON has no infinities and no NaN: they become texts. */

const plain = (_key: string, value: unknown): unknown => {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return typeof value === 'bigint' ? String(value) : value;
};

export const jsonText = (value: unknown, indent = 2): string => JSON.stringify(value, plain, indent);
