/** Experiments that run in the page, on what comes with it. */

/** Minutes that one seed takes here on one thread, about. */
export const minutesHere = {
  'arcquant': 2, 'comet': 3, 'lq-lora': 3, 'mambaquant': 1, 'q-palette': 2, 'quamba2': 2, 'quantvggt': 1, 'quest-llm': 3, 'sageattention2': 2, 'specmquant': 2, 'svdquant': 2, 'vidkv': 2,
} as const;

export type RunHere = keyof typeof minutesHere;
export const isRunHere = (name: string): name is RunHere => name in minutesHere;
