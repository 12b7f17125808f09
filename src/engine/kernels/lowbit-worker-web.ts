/** The script of a worker that shares matrix products. */
import { joinTeam, type Membership } from './lowbit-team.ts';

const scope = globalThis as unknown as { onmessage: ((event: { readonly data: Membership }) => void) | null; postMessage(message: string): void };
scope.onmessage = ({ data }) => joinTeam(data, () => scope.postMessage('ready'));
