/** The matrix of the race. */
export const [N, K] = [4096, 4096];
