/** Has a server listen, on any free port where 0 is asked for. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The port that it got, and the address without a slash at its end. */
export async function listen(server: Server, host: string, port: number): Promise<{ readonly url: string; readonly port: number }> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  return { url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`, port: bound };
}
