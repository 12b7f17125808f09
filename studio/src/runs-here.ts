/** Reproductions that need nothing but what comes with the page, and the minutes that one seed takes in it. */
export const minutesHere: ReadonlyMap<string, number> = new Map([['quest-llm', 15]]);
