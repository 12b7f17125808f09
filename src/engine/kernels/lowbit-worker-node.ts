/** The script of a thread that shares matrix products. */
import { parentPort, workerData } from 'node:worker_threads';
import { joinTeam, type Membership } from './lowbit-team.ts';

joinTeam(workerData as Membership, () => parentPort!.postMessage('ready'));
