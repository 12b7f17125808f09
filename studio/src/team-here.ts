/** Takes the place of Node's threads where reproductions are built into the page, which runs each of them on one thread. */
export const nodeTeam = (): never => { throw new Error('experiments in a page run on one thread'); };
