/** The script of a thread that shares matrix products. */
import { parentPort, workerData } from 'node:worker_threads';
import { joinTeam } from './lowbit-team.ts';
import type { Membership } from './team.ts';

await joinTeam(workerData as Membership, () => parentPort!.postMessage('ready'));
