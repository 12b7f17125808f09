/** Where models and data lie that come with the repository. */
import { fileURLToPath } from 'node:url';

export const own = (path: string): string => fileURLToPath(new URL(`../../../assets/${path}`, import.meta.url));
